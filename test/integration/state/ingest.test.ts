import { randomUUID } from "node:crypto";
import { status } from "@grpc/grpc-js";
import fc from "fast-check";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { ChannelService } from "../../../gen/squelch/v1/channel_service_pb.js";
import { PermissionService } from "../../../gen/squelch/v1/permission_service_pb.js";
import type { GrpcClient } from "../../../src/lib/grpcService.js";
import type { Replica } from "../../../src/server/start.js";
import { connect, type WatchClient, watchOn } from "../../support/clients/watchClient.js";
import { type RedisServer, startRedis } from "../../support/redis/startRedis.js";
import { startSquelch } from "../../support/startSquelch.js";
import { waitFor } from "../../support/waitFor.js";

let redis: RedisServer;
let replica: Replica;
let client: GrpcClient;
const watches: WatchClient[] = [];

beforeAll(async () => {
  redis = await startRedis();
  replica = await startSquelch({ redisUrl: redis.url });
  client = connect(replica.grpcAddress);
});
afterEach(() => {
  for (const watch of watches.splice(0)) watch.close();
});
afterAll(async () => {
  client?.close();
  await replica?.close();
  await redis?.stop();
});

const { watchPermissions: _, ...calls } = PermissionService.method;
const publish = (update: object | string) =>
  redis.cli("PUBLISH", "vp:membership_updates", typeof update === "string" ? update : JSON.stringify(update));

async function watch(...eventIds: string[]): Promise<WatchClient> {
  const opened = watchOn(client, { eventIds, checkpointInterval: { seconds: 1n } });
  watches.push(opened);
  await opened.caughtUp();
  return opened;
}

describe("an update of the control plane", () => {
  it("reaches a watcher, with ids as numbers or strings", async () => {
    const eventId = randomUUID();
    const { picture } = await watch(eventId);
    const channel = Date.now();
    await publish({ eventId, userId: 7, channelIds: [channel, `${eventId}-b`], action: "set_user_channels" });
    await waitFor(() => picture.changes.length === 1);
    expect(picture.channelsOf(eventId, "7")).toEqual([String(channel), `${eventId}-b`].sort());
    expect(picture.changes[0]).toMatchObject({
      actor: "control-plane",
      kind: { value: { action: "set_user_channels" } },
    });
  });

  it("with an empty list revokes the last channel (pitfall 2)", async () => {
    const eventId = randomUUID();
    const { picture } = await watch(eventId);
    await publish({ eventId, userId: "u1", channelIds: [`${eventId}-a`] });
    await publish({ eventId, userId: "u1", channelIds: [] });
    await waitFor(() => picture.changes.length === 2);
    expect(picture.channelsOf(eventId, "u1")).toEqual([]);
    expect(picture.changes[1]?.kind.value).toMatchObject({ removed: [`${eventId}-a`] });
    const answer = await client.unary(calls.getUserPermissions, { eventId, userId: "u1" });
    expect(answer).toMatchObject({ channelIds: [], known: true });
  });

  it("for one event does not change the channels in another (pitfall 4, G7)", async () => {
    const [one, two] = [randomUUID(), randomUUID()];
    const both = await watch(one, two);
    const other = await watch(one);
    await publish({ eventId: one, userId: "u1", channelIds: [`${one}-a`] });
    await publish({ eventId: two, userId: "u1", channelIds: [`${two}-a`] });
    await waitFor(() => both.picture.changes.length === 2);
    expect(both.picture.channelsOf(one, "u1")).toEqual([`${one}-a`]);
    expect(both.picture.channelsOf(two, "u1")).toEqual([`${two}-a`]);
    expect([...other.picture.events.keys()]).toEqual([one]);
  });

  it("adds its channels to the event, so that a pause finds them (pitfall 17)", async () => {
    const eventId = randomUUID();
    const { picture } = await watch(eventId);
    const channelId = `${eventId}-a`;
    await publish({ eventId, userId: "u1", channelIds: [channelId] });
    await waitFor(() => picture.changes.length === 1);
    await client.unary(ChannelService.method.startPtt, { channelId, userId: "u1" });
    const paused = await client.unary(calls.pauseAllSpeakers, { eventId });
    expect(paused.paused.map((speaker) => speaker.channelId)).toEqual([channelId]);
    expect(await redis.cli("HGET", "channel:events", channelId)).toBe(eventId);
  });

  it("cannot take a channel from another event (G7)", async () => {
    const [owner, thief] = [randomUUID(), randomUUID()];
    const { picture } = await watch(owner, thief);
    await publish({ eventId: owner, userId: "u1", channelIds: [`${owner}-a`] });
    await publish({ eventId: thief, userId: "u2", channelIds: [`${owner}-a`, `${thief}-b`] });
    await waitFor(() => picture.changes.length === 2);
    expect(picture.channelsOf(thief, "u2")).toEqual([`${thief}-b`]);
    expect(await redis.cli("HGET", "channel:events", `${owner}-a`)).toBe(owner);
    const stolen = client.unary(calls.setUserChannels, { eventId: thief, userId: "u3", channelIds: [`${owner}-a`] });
    await expect(stolen).rejects.toMatchObject({ code: status.FAILED_PRECONDITION });
  });

  it("brings a new event to a watcher of all events", async () => {
    const { picture } = await watch();
    const eventId = randomUUID();
    await publish({ eventId, userId: "u1", channelIds: [`${eventId}-a`] });
    await waitFor(() => picture.channelsOf(eventId, "u1") !== undefined);
    await waitFor(() => picture.checkpoints.at(-1)?.cursors.some((cursor) => cursor.eventId === eventId));
  });

  it("is not lost behind other messages on the channel", async () => {
    const eventId = randomUUID();
    const { picture } = await watch(eventId);
    const junk = fc.oneof(
      fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes).toString("latin1")),
      fc.json(),
      fc
        .record(
          {
            eventId: fc.constantFrom(eventId, "", "a{b}", "x".repeat(129), 1.5, null),
            userId: fc.constantFrom("", "\u0000", {}, [], true),
            channelIds: fc.constantFrom(undefined, null, "a", [null], [{}], ["\n"], { 0: "a" }),
          },
          { requiredKeys: [] },
        )
        .map((value) => JSON.stringify(value)),
    );
    for (const message of fc.sample(junk, 150)) {
      // An argument of a program cannot contain a NUL.
      await publish(message.replaceAll("\0", ""));
    }
    await publish({ eventId, userId: "u1", channelIds: [`${eventId}-a`] });
    await waitFor(() => picture.changes.length > 0);
    expect(picture.changes).toHaveLength(1);
    expect(picture.channelsOf(eventId, "u1")).toEqual([`${eventId}-a`]);
  });
});
