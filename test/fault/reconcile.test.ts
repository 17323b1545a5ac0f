import { randomUUID } from "node:crypto";
import { Redis } from "ioredis";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { PermissionService } from "../../gen/squelch/v1/permission_service_pb.js";
import { createRedisEngine, type IngestSource } from "../../src/engine/redis/engine.js";
import { createLogger } from "../../src/lib/logger.js";
import type { Replica } from "../../src/server/start.js";
import { type RedisServer, startRedis } from "../support/startRedis.js";
import { startSquelch } from "../support/startSquelch.js";
import { waitFor } from "../support/waitFor.js";
import { connect, type WatchClient, watchOn } from "../support/watchClient.js";

// What a control plane does: the set first, in two steps, then the message.
let redis: RedisServer;
let eventId: string;
const teardowns: (() => unknown)[] = [];

beforeEach(async () => {
  redis = await startRedis({ args: ["--save", "3600 1"] });
  eventId = randomUUID();
});
afterEach(async () => {
  for (const teardown of teardowns.splice(0).reverse()) await teardown();
  await redis.stop();
});

const channel = (name: string) => `${eventId}-${name}`;

async function assign(userId: string, names: string[]) {
  const channelIds = names.map(channel);
  await redis.cli("DEL", `u.${userId}.g`);
  if (channelIds.length > 0) await redis.cli("SADD", `u.${userId}.g`, ...channelIds);
  return redis.cli("PUBLISH", "vp:membership_updates", JSON.stringify({ eventId, userId, channelIds }));
}

async function startReplica(): Promise<Replica> {
  const replica = await startSquelch({ redisUrl: redis.url });
  teardowns.push(() => replica.close());
  return replica;
}

async function watch(replica: Replica): Promise<WatchClient> {
  const client = connect(replica.grpcAddress);
  const opened = watchOn(client, { eventIds: [eventId], checkpointInterval: { seconds: 1n } });
  teardowns.push(
    () => client.close(),
    () => opened.close(),
  );
  await opened.caughtUp();
  return opened;
}

const watermark = async () => Number(await redis.cli("HGET", "squelch:ingest:applied", "generation"));
const isCarried = async () => Date.now() - (await watermark()) < 4_000;
const reconciled = (seen: WatchClient) => seen.picture.changes.filter(({ actor }) => actor === "reconcile");

describe("what was published while nobody listened", () => {
  it("is made up for from the control plane's keys: a grant, a revocation, and a last channel (pitfalls 2, 8)", async () => {
    const first = await startReplica();
    await assign("anna", ["a", "b"]);
    await assign("ben", ["a"]);
    const seen = await watch(first);
    await waitFor(() => seen.picture.channelsOf(eventId, "ben"));
    await waitFor(isCarried, { timeoutMs: 15_000, message: "the first watermark" });
    await first.close();

    await assign("anna", ["b"]);
    await assign("ben", []);
    await assign("carl", ["b"]);
    const late = await watch(await startReplica());
    expect(late.picture.channelsOf(eventId, "anna")).toEqual([channel("a"), channel("b")]);
    await waitFor(() => reconciled(late).length === 3, { timeoutMs: 15_000, message: "the reconcile" });
    expect(late.picture.channelsOf(eventId, "anna")).toEqual([channel("b")]);
    expect(late.picture.channelsOf(eventId, "ben")).toEqual([]);
    expect(late.picture.channelsOf(eventId, "carl")).toEqual([channel("b")]);
    await waitFor(isCarried);
  }, 60_000);

  it("does not touch what came over RPC, or users without keys", async () => {
    const first = await startReplica();
    const client = connect(first.grpcAddress);
    teardowns.push(() => client.close());
    const { setUserChannels } = PermissionService.method;
    await client.unary(setUserChannels, { eventId, userId: "rpc", channelIds: [channel("a")] });
    await redis.cli("SADD", "u.rpc.g", channel("b"));
    const update = { eventId, userId: "keyless", channelIds: [channel("a")] };
    await redis.cli("PUBLISH", "vp:membership_updates", JSON.stringify(update));
    await assign("marker", ["a"]);
    await assign("other", ["b"]);
    const seen = await watch(first);
    await waitFor(() => seen.picture.channelsOf(eventId, "other"));
    await redis.cli("SADD", "u.marker.g", channel("b"));
    await waitFor(() => reconciled(seen).length > 0, { timeoutMs: 15_000, message: "the reconcile" });
    expect(seen.picture.channelsOf(eventId, "marker")).toEqual([channel("a"), channel("b")]);
    expect(seen.picture.channelsOf(eventId, "rpc")).toEqual([channel("a")]);
    expect(seen.picture.channelsOf(eventId, "keyless")).toEqual([channel("a")]);
  }, 60_000);
});

describe("GetUserPermissions after a break of the subscriptions", () => {
  it("compares the user with the control plane's key, before the reconcile does (pitfall 8)", async () => {
    const replica = await startReplica();
    const client = connect(replica.grpcAddress);
    teardowns.push(() => client.close());
    const read = async (userId: string) => {
      const { getUserPermissions } = PermissionService.method;
      return (await client.unary(getUserPermissions, { eventId, userId })).channelIds;
    };
    await assign("anna", ["a"]);
    await assign("other", ["a", "b"]);
    await waitFor(async () => (await read("other")).length === 2);
    await waitFor(isCarried, { timeoutMs: 15_000, message: "the first watermark" });

    const cutAt = performance.now();
    // In one step, so that nobody has subscribed again.
    const update = JSON.stringify({ eventId, userId: "anna", channelIds: [channel("a"), channel("b")] });
    const controlPlane = new Redis(redis.url);
    teardowns.push(() => controlPlane.disconnect());
    const results = await controlPlane
      .multi()
      .call("CLIENT", "KILL", "TYPE", "pubsub")
      .sadd("u.anna.g", channel("b"))
      .publish("vp:membership_updates", update)
      .exec();
    expect(results?.at(-1)).toEqual([null, 0]);
    await waitFor(async () => (await read("anna")).length === 2, { timeoutMs: 3_000 });
    expect(performance.now() - cutAt).toBeLessThan(3_500);
    expect(await read("other")).toEqual([channel("a"), channel("b")]);
  }, 60_000);
});

describe("the watermark", () => {
  it("is not raised by a reconcile during which it was lost (pitfall 25)", async () => {
    const engine = createRedisEngine({ url: redis.url, logger: createLogger("test", "silent") });
    teardowns.push(() => engine.close());
    await engine.start();
    const { openWatermark, closeGap, raiseWatermark } = (engine.ingest as IngestSource).controlPlane;
    const lost = await openWatermark();
    await redis.cli("FLUSHALL");
    await closeGap(lost, 5);
    expect(await raiseWatermark(1, 9)).toBe(0);
    const made = await openWatermark();
    expect(await openWatermark()).toBe(made);
    await closeGap(lost, 5);
    expect(await raiseWatermark(1, 9)).toBe(0);
    await closeGap(made, 7);
    expect(await raiseWatermark(8, 9)).toBe(7);
    expect(await raiseWatermark(7, 9)).toBe(9);
  });

  it("is carried on by the others while a replica restarts, so that nothing is reconciled", async () => {
    const steady = await startReplica();
    const seen = await watch(steady);
    await assign("anna", ["a"]);
    await waitFor(isCarried, { timeoutMs: 15_000, message: "the first watermark" });
    const before = reconciled(seen).length;
    const restarted = await startReplica();
    await restarted.close();
    await startReplica();
    // A difference that only a reconcile would find.
    await redis.cli("SADD", "u.anna.g", channel("b"));
    const until = Date.now() + 8_000;
    await waitFor(() => Date.now() > until, { timeoutMs: 10_000 });
    expect(await isCarried()).toBe(true);
    expect(reconciled(seen)).toHaveLength(before);
  }, 60_000);

  it("is not carried past a restart of Redis: all is compared again, and nothing lost (pitfall 8)", async () => {
    const steady = await startReplica();
    const seen = await watch(steady);
    await assign("anna", ["a"]);
    await assign("other", ["b"]);
    await waitFor(() => seen.picture.channelsOf(eventId, "other"));
    await waitFor(isCarried, { timeoutMs: 15_000, message: "the first watermark" });
    await redis.cli("SAVE");
    await redis.restart();
    // While nobody is connected yet.
    expect(await assign("anna", ["a", "b"])).toBe("0");
    await waitFor(() => seen.picture.channelsOf(eventId, "anna")?.length === 2, { timeoutMs: 20_000 });
    expect(seen.error).toBeUndefined();
  }, 60_000);
});
