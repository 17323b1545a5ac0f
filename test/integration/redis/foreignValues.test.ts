import { randomUUID } from "node:crypto";
import { Redis } from "ioredis";
import { afterAll, beforeAll, expect, it } from "vitest";
import { ChannelService, type FloorDenied } from "../../../gen/squelch/v1/channel_service_pb.js";
import { type ActiveSpeaker, FloorPriority } from "../../../gen/squelch/v1/model_pb.js";
import { PermissionService } from "../../../gen/squelch/v1/permission_service_pb.js";
import type { GrpcClient } from "../../../src/lib/grpcService.js";
import type { Replica } from "../../../src/server/start.js";
import { connect, watchOn } from "../../support/clients/watchClient.js";
import { type RedisServer, startRedis } from "../../support/redis/startRedis.js";
import { startSquelch } from "../../support/startSquelch.js";
import { waitFor } from "../../support/waitFor.js";

let redis: RedisServer;
let foreign: Redis;
let replica: Replica;
let client: GrpcClient;
beforeAll(async () => {
  redis = await startRedis();
  foreign = new Redis(redis.url);
  replica = await startSquelch({ redisUrl: redis.url });
  client = connect(replica.grpcAddress);
});
afterAll(async () => {
  client?.close();
  foreign?.disconnect();
  await replica?.close();
  await redis?.stop();
});

const { watchPermissions: _, ...permissions } = PermissionService.method;
const { startPtt } = ChannelService.method;

// Other routers may write any value to speaker keys. No value may prevent an emergency call.
it.each([
  ["a fraction of a millisecond", '{"userId":"x","userName":"x","timestamp":1700000000000.123}', "x"],
  ["a time that is none", '{"userId":"x","userName":"x","timestamp":"nan"}', "x"],
  ["a time beyond all bounds", '{"userId":"x","timestamp":1e999,"expiresAt":1e30}', "x"],
  ["a priority of its own", '{"userId":"x","priority":"constructor"}', "x"],
  ["a numeric user", '{"userId":1234567890123456,"timestamp":1}', "1234567890123456"],
  ["no user", '{"timestamp":1}', "unknown"],
  ["a user that is null", '{"userId":null}', "unknown"],
  ["a user that is a list", '{"userId":[1,2]}', "unknown"],
  ["a list", "[1]", "unknown"],
  ["no JSON", "busy", "unknown"],
])(
  "a speaker key with %s is a floor like any other: shown, cut, and published (G3, G5)",
  async (_name, value, userId) => {
    const eventId = randomUUID();
    const channelId = `${eventId}-a`;
    await client.unary(permissions.setUserChannels, { eventId, userId: "u", channelIds: [channelId] });
    const watch = watchOn(client, { eventIds: [eventId] });
    await watch.caughtUp();
    await foreign.set(`channel:${channelId}:speaker`, value, "EX", 30);
    const speaker = { channelId, userId, priority: FloorPriority.NORMAL };
    const { speakers } = await client.unary(permissions.getEventActiveSpeakers, { eventId });
    expect(speakers).toMatchObject([speaker]);
    // Redis delivers what the replica publishes about it.
    const press = { channelId, userId: "u", sessionId: "s" };
    const { outcome } = await client.unary(startPtt, press);
    const { userName, startedAt } = speakers[0] as ActiveSpeaker;
    expect(outcome).toMatchObject({ case: "denied", value: { holder: { ...speaker, userName } } });
    expect((outcome.value as FloorDenied).holder?.startedAt).toEqual(startedAt);
    const { paused } = await client.unary(permissions.pauseAllSpeakers, { eventId });
    expect(paused).toMatchObject([speaker]);
    await waitFor(() => watch.picture.changes.length === 1);
    expect(watch.picture.changes.at(-1)?.kind).toMatchObject({ case: "speakersPaused", value: { cut: [speaker] } });
    watch.close();
  },
);
