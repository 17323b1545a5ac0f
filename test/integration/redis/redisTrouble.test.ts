import { randomUUID } from "node:crypto";
import { Redis } from "ioredis";
import { describe, expect, it, type TestContext } from "vitest";
import { ChannelService } from "../../../gen/squelch/v1/channel_service_pb.js";
import { PermissionService } from "../../../gen/squelch/v1/permission_service_pb.js";
import { createRedisEngine } from "../../../src/engine/redis/engine.js";
import { createLogger } from "../../../src/lib/logger.js";
import { connect, watchOn } from "../../support/clients/watchClient.js";
import { startRedis } from "../../support/redis/startRedis.js";
import { startSquelch } from "../../support/startSquelch.js";
import { waitFor } from "../../support/waitFor.js";

const { watchPermissions: _, ...permissions } = PermissionService.method;

/** A replica on a Redis of its own. */
async function open(onTestFinished: TestContext["onTestFinished"]) {
  // A replica of Redis is served at once, not after waiting for more of them.
  const redis = await startRedis({ args: ["--repl-diskless-sync-delay", "0"] });
  onTestFinished(() => redis.stop());
  const replica = await startSquelch({ redisUrl: redis.url });
  onTestFinished(() => replica.close());
  const client = connect(replica.grpcAddress);
  onTestFinished(() => client.close());
  const assign = (eventId: string, userId: string, channelIds: string[]) =>
    client.unary(permissions.setUserChannels, { eventId, userId, channelIds });
  return { redis, client, assign };
}

describe.concurrent("a Redis replica that hangs", () => {
  it("delays revocations but not pauses, and neither fails", async ({ onTestFinished }) => {
    const { redis, client, assign } = await open(onTestFinished);
    const follower = await startRedis({ args: ["--replicaof", "127.0.0.1", String(redis.port)] });
    onTestFinished(() => follower.stop());
    // Redis reports the replica as online up to a second before it sends the first write.
    await redis.cli("SET", "followed", "yes");
    const isFollowing = async () => (await follower.cli("GET", "followed")) === "yes";
    const isAcknowledging = async () => /slave0:.*offset=([1-9]\d*)/.test(await redis.cli("INFO", "replication"));
    await waitFor(async () => (await isFollowing()) && (await isAcknowledging()), { timeoutMs: 15_000 });
    const eventId = randomUUID();
    for (let user = 0; user < 20; user++) await assign(eventId, `u${user}`, [`${eventId}-a`]);
    const first = await client.unary(permissions.pauseAllSpeakers, { eventId });
    expect(first.replicated).toBe(true);
    await client.unary(permissions.resumeSpeakers, { eventId, pauseId: first.pause?.pauseId ?? "" });

    follower.pause();
    onTestFinished(() => follower.resume());
    const revocations = Array.from({ length: 20 }, (_, user) => assign(eventId, `u${user}`, []));
    const startedAt = performance.now();
    const paused = await client.unary(permissions.pauseAllSpeakers, { eventId });
    expect(performance.now() - startedAt).toBeLessThan(1_000);
    expect(paused.replicated).toBe(false);
    for (const revoked of await Promise.all(revocations)) expect(revoked.removed).toEqual([`${eventId}-a`]);
  });
});

describe.concurrent("a Redis that gets its first replica", () => {
  it("begins a new epoch of each event, and drops no update that was received before (G6)", async ({
    onTestFinished,
  }) => {
    const { redis } = await open(onTestFinished);
    const engine = createRedisEngine({ url: redis.url, logger: createLogger("test", "silent") });
    onTestFinished(() => engine.close());
    await engine.start();
    const eventId = randomUUID();
    const apply = async (count: number, channelIds: string[]) => {
      const position = { generation: 1, count };
      const update = { userId: "u1", channelIds, action: "test", actor: "control-plane", position };
      return (await engine.applyMemberships(eventId, [update]))[0];
    };
    await apply(1, [`${eventId}-a`]);
    const { epoch } = await engine.loadEvent(eventId);
    const follower = await startRedis({ args: ["--replicaof", "127.0.0.1", String(redis.port)] });
    onTestFinished(() => follower.stop());
    // The first replica to run a script notices it.
    await waitFor(async () => (await engine.loadEvent(eventId)).epoch !== epoch, { timeoutMs: 15_000 });
    expect(await apply(2, [])).toMatchObject({ status: "changed", revision: 1, removed: [`${eventId}-a`] });
  });
});

describe.concurrent("a Redis that was emptied", () => {
  it("gives watchers of all events a new epoch, and restores each event in the list of events", async ({
    onTestFinished,
  }) => {
    const { redis, client, assign } = await open(onTestFinished);
    const eventId = randomUUID();
    await assign(eventId, "u1", [`${eventId}-a`]);
    const watch = watchOn(client, { checkpointInterval: { seconds: 1n } });
    onTestFinished(() => watch.close());
    await watch.caughtUp();
    const before = watch.picture.events.get(eventId)?.epoch;
    await redis.cli("FLUSHALL");
    // The first call only reads, or finds nothing.
    await client.unary(permissions.getUserPermissions, { eventId, userId: "u1" });
    await client.unary(ChannelService.method.listEventChannels, { eventId });
    await assign(eventId, "u2", [`${eventId}-a`]);
    await waitFor(() => watch.picture.channelsOf(eventId, "u2")?.length === 1);
    expect(watch.picture.channelsOf(eventId, "u1")).toBeUndefined();
    expect(watch.picture.events.get(eventId)?.epoch).not.toBe(before);
    await waitFor(async () => (await redis.cli("SMEMBERS", "squelch:events")) === eventId);
    expect(watch.error).toBeUndefined();
  });
});

describe.concurrent("a broadcaster's pause that runs out", () => {
  it("is published to routers that read the channels' state (pitfall 33)", async ({ onTestFinished }) => {
    const { redis, client, assign } = await open(onTestFinished);
    const eventId = randomUUID();
    const channelId = `${eventId}-a`;
    await assign(eventId, "u1", [channelId]);
    const subscriber = new Redis(redis.url);
    onTestFinished(() => subscriber.disconnect());
    const speakers: unknown[] = [];
    subscriber.on("message", (_channel, message) => speakers.push(JSON.parse(message).currentSpeaker));
    await subscriber.subscribe(`channel:${channelId}:events`);
    const duration = { seconds: 0n, nanos: 300_000_000 };
    await client.unary(permissions.pauseAllSpeakers, { eventId, duration, broadcaster: { userId: "dora" } });
    await waitFor(() => speakers.length === 2);
    expect(speakers).toEqual(["dora", null]);
  });
});
