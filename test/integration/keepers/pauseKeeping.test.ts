import { randomUUID } from "node:crypto";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { Redis } from "ioredis";
import { afterEach, beforeEach, expect, test } from "vitest";
import { ChannelService } from "../../../gen/squelch/v1/channel_service_pb.js";
import { PermissionService } from "../../../gen/squelch/v1/permission_service_pb.js";
import type { LogEntry } from "../../../src/domain/change.js";
import type { FloorNews } from "../../../src/domain/ports/floorStore.js";
import { createRedisEngine } from "../../../src/engine/redis/engine.js";
import { createLogger } from "../../../src/lib/logger.js";
import { collect, makeEvent, pause, press, untilRunOut } from "../../contract/fixtures.js";
import { connect } from "../../support/clients/watchClient.js";
import { type RedisServer, startRedis } from "../../support/redis/startRedis.js";
import { spawnSquelch, startSquelch } from "../../support/startSquelch.js";
import { waitFor } from "../../support/waitFor.js";

// Tests pauses of events without watchers, beside a router that writes Redis itself. A pause must not depend on the
// replica that made it.
const { pauseAllSpeakers, resumeSpeakers, setUserChannels } = PermissionService.method;
/** The longest time until a speaker who got past a pause is cut, and until the end of a pause is announced, ms (G5, pitfall 33). */
const PROMISED_MS = 250;

let redis: RedisServer;
let legacy: Redis;
let subscriber: Redis;
let eventId: string;
let channelId: string;
let entries: LogEntry[];
let teardowns: (() => unknown)[];

beforeEach(async () => {
  redis = await startRedis();
  legacy = new Redis(redis.url);
  subscriber = legacy.duplicate();
  eventId = randomUUID();
  channelId = `${eventId}-a`;
  entries = [];
  subscriber.on("message", (_channel, message) => entries.push(JSON.parse(message)));
  await subscriber.subscribe(`squelch:{${eventId}}:changes`);
  teardowns = [];
});
afterEach(async () => {
  for (const teardown of teardowns.reverse()) await teardown();
  subscriber.disconnect();
  legacy.disconnect();
  await redis.stop();
});

const key = (channel: string) => `channel:${channel}:speaker`;
const speaker = async (channel: string) => JSON.parse((await legacy.get(key(channel))) ?? "{}").userId;

async function startReplica(): Promise<void> {
  const replica = await startSquelch({ redisUrl: redis.url });
  teardowns.push(() => replica.close());
}

/** Pauses the event through a replica that is killed right afterwards. */
async function pauseAndKill(seconds: number, broadcaster?: { userId: string }) {
  const doomed = await spawnSquelch(["--redis-url", redis.url]);
  const client = connect(doomed.grpcAddress);
  await client.unary(setUserChannels, { eventId, userId: "anna", channelIds: [channelId] });
  const duration = { seconds: BigInt(seconds) };
  const { pause } = await client.unary(pauseAllSpeakers, { eventId, duration, ...(broadcaster && { broadcaster }) });
  doomed.kill("SIGKILL");
  await doomed.exited;
  client.close();
  if (pause?.expiresAt === undefined) throw new Error("no pause");
  return { pauseId: pause.pauseId, endsAtMs: timestampMs(pause.expiresAt) };
}

/** A legacy router takes the floor in spite of the pause. Returns for how long it had the floor by Redis's clock, ms. */
async function intrude(channel: string): Promise<number> {
  const cuts = () => entries.filter((entry) => entry.kind === "floorRevoked" && entry.channelId === channel);
  const before = cuts().length;
  const value = JSON.stringify({ userId: "ben", userName: "Ben", timestamp: Date.now() });
  const done = await legacy.multi().del(key(channel)).set(key(channel), value, "EX", 30, "NX").time().exec();
  expect(done?.[1]?.[1]).toBe("OK");
  const [seconds, microseconds] = (done?.[2]?.[1] ?? []) as [string, string];
  const cut = await waitFor(() => cuts()[before], { message: "the intruder to be cut" });
  return cut.timeMs - (Number(seconds) * 1_000 + Number(microseconds) / 1_000);
}

test("G5, pitfalls 19, 33: a pause whose replica was killed is upheld by another, and its end is published", async () => {
  await startReplica();
  const { pauseId, endsAtMs } = await pauseAndKill(2);
  for (let round = 0; round < 3; round++) {
    expect(await intrude(channelId)).toBeLessThan(PROMISED_MS);
    expect(await speaker(channelId)).toBe("squelch:pause");
  }
  await waitFor(() => entries.at(-1)?.kind === "speakersResumed", { message: "the end of the pause" });
  const cuts = entries.filter(({ kind }) => kind === "floorRevoked");
  expect(cuts).toMatchObject(Array(3).fill({ channelId, userId: "ben", cause: "preEmpted" }));
  expect(entries.at(-1)).toMatchObject({ pauseId, expired: true });
  expect((entries.at(-1)?.timeMs ?? 0) - endsAtMs).toBeLessThan(PROMISED_MS);
  expect(entries.map(({ revision }) => revision)).toEqual([1, 2, 3, 4, 5, 6]);
});

test("G5: a replica that starts while a pause stands upholds it, for the broadcaster", async () => {
  await pauseAndKill(60, { userId: "dora" });
  await startReplica();
  await intrude(channelId);
  // From now on the replica knows the pause.
  expect(await intrude(channelId)).toBeLessThan(PROMISED_MS);
  expect(await speaker(channelId)).toBe("dora");
  expect(entries.at(-1)).toMatchObject({ kind: "floorRevoked", userId: "ben", byUserId: "dora" });
});

test("G5, pitfall 19: a channel that another program adds during a pause is held, and its speaker is cut", async () => {
  const replica = await startSquelch({ redisUrl: redis.url });
  teardowns.push(() => replica.close());
  const client = connect(replica.grpcAddress);
  teardowns.push(() => client.close());
  await client.unary(setUserChannels, { eventId, userId: "anna", channelIds: [channelId] });
  const broadcaster = { userId: "dora" };
  const { pause } = await client.unary(pauseAllSpeakers, { eventId, duration: { seconds: 60n }, broadcaster });
  const added = [1, 2, 3].map((index) => `${eventId}-legacy-${index}`);
  for (const channel of added) {
    await legacy.hset("channel:events", channel, eventId);
    expect(await intrude(channel)).toBeLessThan(PROMISED_MS);
    expect(await speaker(channel)).toBe("dora");
  }
  const { channelIds } = await client.unary(ChannelService.method.listEventChannels, { eventId });
  expect(channelIds).toEqual([channelId, ...added]);
  await client.unary(resumeSpeakers, { eventId, pauseId: pause?.pauseId ?? "" });
  for (const channel of channelIds) expect(await legacy.exists(key(channel))).toBe(0);
});

test("a request that waits for a floor that a router has freed without a message gets it when the end of a pause is announced", async () => {
  const engine = createRedisEngine({ url: redis.url, logger: createLogger("test", "silent") });
  await engine.start();
  teardowns.push(() => engine.close());
  const event = await makeEvent(engine, ["anna"]);
  await pause(engine, event.eventId, { durationMs: 50 });
  await untilRunOut(engine, event.eventId);
  await legacy.set(key(event.channelId), JSON.stringify({ userId: "ben", userName: "Ben", timestamp: Date.now() }));
  const queue = { waitMs: 30_000, limit: 1 };
  expect(await press(engine, event.channelId, "anna", { queue })).toMatchObject({ place: { position: 1 } });
  await legacy.del(key(event.channelId));
  const news = collect<FloorNews>();
  const unfollow = await engine.followFloor(event.eventId, news.listener);

  await engine.upholdPause(event.eventId);
  await news.until(1);
  expect(news.seen.flatMap(({ changes }) => changes)).toMatchObject([{ holder: { userId: "anna" }, hasLease: true }]);
  unfollow();
});
