import { randomUUID } from "node:crypto";
import { Redis } from "ioredis";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ChannelService } from "../../../gen/squelch/v1/channel_service_pb.js";
import { FloorRevokeCause } from "../../../gen/squelch/v1/model_pb.js";
import { PermissionService } from "../../../gen/squelch/v1/permission_service_pb.js";
import type { LogEntry } from "../../../src/domain/change.js";
import type { GrpcClient } from "../../../src/lib/grpcService.js";
import type { Replica } from "../../../src/server/start.js";
import { connect, type WatchClient, watchOn } from "../../support/clients/watchClient.js";
import { type RedisServer, startRedis } from "../../support/redis/startRedis.js";
import { startSquelch } from "../../support/startSquelch.js";
import { waitFor } from "../../support/waitFor.js";

// Tests that one of two replicas announces the end of an expired lease (pitfall 33).
let redis: RedisServer;
let raw: Redis;
let subscriber: Redis;
let replicas: Replica[];
let clients: GrpcClient[];
let watches: WatchClient[];
let eventId: string;
let channelId: string;
/** The messages from Redis, each with its time since the end of the lease, ms. */
let entries: LogEntry[];
let states: { currentSpeaker: string | null; atMs: number }[];

const { setUserChannels } = PermissionService.method;
const { startPtt, renewPtt } = ChannelService.method;

beforeEach(async () => {
  redis = await startRedis();
  raw = new Redis(redis.url);
  subscriber = raw.duplicate();
  replicas = await Promise.all([0, 1].map(() => startSquelch({ redisUrl: redis.url })));
  clients = replicas.map(({ grpcAddress }) => connect(grpcAddress));
  watches = [];
  eventId = randomUUID();
  channelId = `${eventId}-a`;
  await client(0).unary(setUserChannels, { eventId, userId: "anna", channelIds: [channelId] });
  entries = [];
  states = [];
  subscriber.on("message", (channel, message) => {
    const content = JSON.parse(message);
    if (channel.startsWith("squelch:")) entries.push(content);
    else states.push({ ...content, atMs: Date.now() });
  });
  await subscriber.subscribe(`squelch:{${eventId}}:changes`, `channel:${channelId}:events`);
});
afterEach(async () => {
  for (const watch of watches) watch.close();
  for (const one of clients) one.close();
  await Promise.all(replicas.map((replica) => replica.close()));
  subscriber.disconnect();
  raw.disconnect();
  await redis.stop();
});

const client = (index: number) => clients[index] as GrpcClient;

async function watch(index: number): Promise<WatchClient> {
  const opened = watchOn(client(index), { eventIds: [eventId] });
  watches.push(opened);
  await opened.caughtUp();
  return opened;
}

async function press(index: number, talkSeconds: number, leaseSeconds: number) {
  const { outcome } = await client(index).unary(startPtt, {
    ...{ channelId, userId: "anna" },
    talkTime: { seconds: BigInt(talkSeconds) },
    leaseTime: { seconds: BigInt(leaseSeconds) },
  });
  if (outcome.case !== "granted") throw new Error("denied");
  const { leaseId, expiresAt } = outcome.value;
  return { leaseId, expiresAtMs: Number(expiresAt?.seconds) * 1_000 + Number(expiresAt?.nanos) / 1e6 };
}

/** Waits until the end is announced. It must be announced once, in time and with that cause. */
async function expectEnd(expiresAtMs: number, cause: string): Promise<void> {
  await waitFor(() => states.length >= 2, { message: "the end of the lease" });
  expect(states.map((state) => state.currentSpeaker)).toEqual(["anna", null]);
  const delayMs = (states[1]?.atMs ?? 0) - expiresAtMs;
  expect(delayMs).toBeGreaterThanOrEqual(0);
  expect(delayMs).toBeLessThan(250);
  // When both replicas have the next change, both have had time to announce the end.
  await client(1).unary(setUserChannels, { eventId, userId: "anna", channelIds: [] });
  await waitFor(() => entries.length >= 2);
  expect(entries).toMatchObject([
    { kind: "floorRevoked", channelId, userId: "anna", cause, byUserId: "", actor: "" },
    { kind: "membershipChanged" },
  ]);
  expect(states).toHaveLength(2);
}

describe("the end of a lease", () => {
  it("is announced once by two replicas that both have the event loaded", async () => {
    const watched = await Promise.all([watch(0), watch(1)]);
    const { expiresAtMs } = await press(0, 30, 1);
    await expectEnd(expiresAtMs, "other");
    for (const { picture } of watched) {
      await waitFor(() => picture.changes.length === 2);
      expect(picture.changes[0]?.kind).toMatchObject({
        case: "floorRevoked",
        value: { channelId, userId: "anna", cause: FloorRevokeCause.OTHER },
      });
    }
  });

  it("is published although the event has no watcher", async () => {
    const { expiresAtMs } = await press(0, 1, 1);
    await expectEnd(expiresAtMs, "talkedTooLong");
  });

  it("is announced when the talk time is over, also after renewals (pitfall 10)", async () => {
    await watch(1);
    const { leaseId, expiresAtMs } = await press(0, 2, 1);
    let endsAtMs = expiresAtMs;
    await waitFor(async () => {
      const { expiresAt } = await client(1).unary(renewPtt, { channelId, leaseId });
      const renewedMs = Number(expiresAt?.seconds) * 1_000 + Number(expiresAt?.nanos) / 1e6;
      const isAtLimit = renewedMs === endsAtMs && renewedMs > expiresAtMs;
      endsAtMs = renewedMs;
      return isAtLimit;
    });
    expect(endsAtMs - expiresAtMs).toBe(1_000);
    await expectEnd(endsAtMs, "talkedTooLong");
  });

  it("is announced by another replica if the one that granted is gone", async () => {
    await watch(1);
    const { expiresAtMs } = await press(0, 30, 1);
    await replicas[0]?.close();
    await expectEnd(expiresAtMs, "other");
  });

  it("is announced when the event is loaded, if no replica was there", async () => {
    await press(0, 30, 1);
    await Promise.all(replicas.map((replica) => replica.close()));
    await waitFor(async () => (await raw.exists(`channel:${channelId}:speaker`)) === 0);
    expect(entries).toEqual([]);
    replicas.push(await startSquelch({ redisUrl: redis.url }));
    clients.push(connect(replicas[2]?.grpcAddress ?? ""));
    const { picture } = await watch(2);
    await waitFor(() => entries.length === 1 && states.length === 2);
    expect(entries).toMatchObject([{ kind: "floorRevoked", userId: "anna", cause: "other" }]);
    expect(states[1]?.currentSpeaker).toBeNull();
    expect(picture.events.get(eventId)?.revision).toBe(2);
  });
});
