import { randomUUID } from "node:crypto";
import { status } from "@grpc/grpc-js";
import { afterEach, describe, expect, it, vi } from "vitest";
import { ChannelService } from "../../../gen/squelch/v1/channel_service_pb.js";
import { PermissionService, SnapshotReason } from "../../../gen/squelch/v1/permission_service_pb.js";
import { Connections } from "../../../src/engine/redis/connection/connections.js";
import type { GrpcClient } from "../../../src/lib/grpcService.js";
import { createLogger } from "../../../src/lib/logger.js";
import { connect, watchOn } from "../../support/clients/watchClient.js";
import { startCluster } from "../../support/redis/startCluster.js";
import { type RedisServer, startRedis, TEST_CA } from "../../support/redis/startRedis.js";
import { startSentinel } from "../../support/redis/startSentinel.js";
import { type SquelchProcess, spawnSquelch } from "../../support/startSquelch.js";
import { waitFor } from "../../support/waitFor.js";

/** The time from the loss of a master until the service works again: the servers notice, elect a new one, and clients find it. */
const FAILOVER_TIMEOUT_MS = 15_000;

// The timeout of a test, because a test waits for this several times.
vi.setConfig({ testTimeout: 4 * FAILOVER_TIMEOUT_MS });

const stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

function stopLater<T extends { stop(): Promise<void> }>(started: T): T {
  stops.push(() => started.stop());
  return started;
}

async function serve(args: readonly string[], env: Record<string, string> = {}) {
  const replica = stopLater(await spawnSquelch(args, env));
  const client = connect(replica.grpcAddress);
  stops.push(() => client.close());
  return { replica, client };
}

async function isReady({ httpAddress }: SquelchProcess): Promise<boolean> {
  return (await fetch(`http://${httpAddress}/readyz`)).ok;
}

function untilReady(replica: SquelchProcess) {
  const message = () => `a replica that is ready: ${replica.lines.join("\n")}`;
  return waitFor(() => isReady(replica), { timeoutMs: FAILOVER_TIMEOUT_MS, message });
}

/** These tests do not cover messages that are published before the subscription has moved to the new master. */
function untilSubscribed(redis: RedisServer) {
  return waitFor(async () => /\n1$/.test(await redis.cli("PUBSUB", "NUMSUB", "vp:membership_updates")), {
    timeoutMs: FAILOVER_TIMEOUT_MS,
    message: "a subscription at the successor",
  });
}

function assign(client: GrpcClient, eventId: string, userId: string, channelIds: string[]) {
  return client.unary(PermissionService.method.setUserChannels, { eventId, userId, channelIds });
}

function publish(redis: RedisServer, eventId: string, userId: string, channelIds: string[]) {
  const update = { eventId, userId, channelIds, action: "set_user_channels" };
  return redis.cli("PUBLISH", "vp:membership_updates", JSON.stringify(update));
}

/** Repeats a call while it fails with UNAVAILABLE. Rejects on every other error. */
function eventually<T>(call: () => Promise<T>): Promise<T> {
  const attempt = async () => {
    try {
      return { value: await call() };
    } catch (error) {
      expect(error).toMatchObject({ code: status.UNAVAILABLE });
      return undefined;
    }
  };
  return waitFor(attempt, { timeoutMs: FAILOVER_TIMEOUT_MS, message: "an answer" }).then(({ value }) => value);
}

function watch(client: GrpcClient, eventIds: string[]) {
  const watcher = watchOn(client, { eventIds, checkpointInterval: { seconds: 1n, nanos: 0 } });
  stops.push(() => watcher.close());
  const sees = (eventId: string, userId: string, channelIds: string[]) =>
    waitFor(
      () => {
        if (watcher.error !== undefined) throw watcher.error;
        return JSON.stringify(watcher.picture.channelsOf(eventId, userId)) === JSON.stringify(channelIds);
      },
      { timeoutMs: FAILOVER_TIMEOUT_MS, message: `${userId} to have ${channelIds} in ${eventId}` },
    );
  return { ...watcher, picture: watcher.picture, sees };
}

const losses = [
  ["is killed", (master: RedisServer) => master.kill("SIGKILL")],
  ["hangs", async (master: RedisServer) => master.pause()],
] as const;

describe("over TLS", () => {
  it("writes over RPC and published updates reach watchers, if the authority is trusted", async () => {
    const redis = stopLater(await startRedis({ tls: true }));
    const eventId = randomUUID();
    const [trusting, doubting] = await Promise.all([
      serve(["--redis-url", redis.url], { NODE_EXTRA_CA_CERTS: TEST_CA }),
      serve(["--redis-url", redis.url]),
    ]);
    const watcher = watch(trusting.client, [eventId]);
    await watcher.caughtUp();
    await assign(trusting.client, eventId, "u1", ["a"]);
    await publish(redis, eventId, "u2", ["a", "b"]);
    await watcher.sees(eventId, "u1", ["a"]);
    await watcher.sees(eventId, "u2", ["a", "b"]);

    expect(await isReady(doubting.replica)).toBe(false);
    await expect(assign(doubting.client, eventId, "u3", ["a"])).rejects.toMatchObject({ code: status.UNAVAILABLE });
  });
});

describe("with Sentinel", () => {
  it("a connection that receives a fail-over while it looks up the master is not closed (pitfall 7)", async () => {
    const group = stopLater(await startSentinel());
    const connections = new Connections(group.url, createLogger("test", "silent"));
    stops.push(() => connections.close());
    const { commands } = connections;
    const started = connections.start();
    // This is what ioredis does at a fail-over message.
    (commands as unknown as { connector: { disconnect(): void } }).connector.disconnect();
    await started;
    expect(commands.status).toBe("end");
    await waitFor(() => commands.status === "ready");
  });

  it.each(losses)("goes on after the master %s: writes and what is published arrive", async (_, lose) => {
    const group = stopLater(await startSentinel());
    const eventId = randomUUID();
    const { replica, client } = await serve(["--redis-url", group.url]);
    const watcher = watch(client, [eventId]);
    await watcher.caughtUp();
    await assign(client, eventId, "before", ["a"]);
    await watcher.sees(eventId, "before", ["a"]);

    const former = await group.master();
    await lose(former);
    const [successor] = await Promise.all([
      group.waitForFailover(former),
      eventually(() => assign(client, eventId, "rpc", ["a"])),
    ]);
    await Promise.all([untilReady(replica), untilSubscribed(successor)]);
    await publish(successor, eventId, "published", ["b"]);
    await watcher.sees(eventId, "before", ["a"]);
    await watcher.sees(eventId, "rpc", ["a"]);
    await watcher.sees(eventId, "published", ["b"]);
    expect(watcher.picture.snapshotReasons).toEqual([SnapshotReason.INITIAL, SnapshotReason.STORE_RESET]);
  });
});

describe("with a Cluster", () => {
  const serveOn = (url: string, ...args: string[]) => serve(["--redis-url", url, "--redis-layout", "cluster", ...args]);

  it("serves events on every shard: assignments, watches, floors and pauses", async () => {
    const cluster = stopLater(await startCluster({ replicas: 0 }));
    const eventIds = await cluster.spreadEventIds();
    const { replica, client } = await serveOn(cluster.url);
    const watcher = watch(client, eventIds);
    await watcher.caughtUp();
    expect(replica.lines.join("\n")).toContain("by RPC only");
    for (const eventId of eventIds) {
      const channelId = `${eventId}-a`;
      await assign(client, eventId, "u", [channelId]);
      await watcher.sees(eventId, "u", [channelId]);
      const press = { channelId, userId: "u", userName: "U" };
      const pressed = await client.unary(ChannelService.method.startPtt, press);
      expect(pressed.outcome.case).toBe("granted");
      const paused = await client.unary(PermissionService.method.pauseAllSpeakers, { eventId });
      expect(paused.paused.map((speaker) => speaker.channelId)).toEqual([channelId]);
      const refused = await client.unary(ChannelService.method.startPtt, press);
      expect(refused.outcome.case).toBe("denied");
      await waitFor(() => watcher.picture.events.get(eventId)?.pauseId === paused.pause?.pauseId);
    }
    const [first, second] = eventIds as [string, string];
    const moved = { channelId: `${first}-a`, eventId: second };
    await client.unary(ChannelService.method.setChannelEvent, moved);
    const { channelIds } = await client.unary(ChannelService.method.listEventChannels, { eventId: second });
    expect(channelIds).toEqual([`${first}-a`, `${second}-a`]);
    await expect(assign(client, first, "u2", [`${first}-a`])).rejects.toMatchObject({
      code: status.FAILED_PRECONDITION,
    });
  });

  it.each(losses)("goes on after a master %s, with a snapshot where writes may be lost", async (_, lose) => {
    const cluster = stopLater(await startCluster());
    const eventIds = await cluster.spreadEventIds();
    const [lost, ...others] = eventIds as [string, ...string[]];
    const { replica, client } = await serveOn(cluster.url);
    const watcher = watch(client, eventIds);
    await watcher.caughtUp();
    for (const eventId of eventIds) {
      await assign(client, eventId, "before", [`${eventId}-a`]);
      const cut = { eventId, duration: { seconds: 0n, nanos: 0 } };
      const { replicated } = await client.unary(PermissionService.method.pauseAllSpeakers, cut);
      expect(replicated, "a replica of the event's own shard has acknowledged").toBe(true);
    }

    const former = await cluster.masterOf(lost);
    await lose(former);
    await Promise.all([
      cluster.waitForFailover(lost, former),
      ...eventIds.map((eventId) => eventually(() => assign(client, eventId, "after", [`${eventId}-a`]))),
    ]);
    for (const eventId of eventIds) {
      await watcher.sees(eventId, "before", [`${eventId}-a`]);
      await watcher.sees(eventId, "after", [`${eventId}-a`]);
    }
    await untilReady(replica);
    const resets = watcher.picture.snapshotReasons.filter((reason) => reason === SnapshotReason.STORE_RESET);
    expect(resets).toHaveLength(1);
    for (const eventId of others) {
      await expect(eventually(() => assign(client, eventId, "later", []))).resolves.toBeDefined();
    }
  });

  it("receives updates from a separate Redis, and reconciles after a shard has lost its master", async () => {
    const [cluster, ingest] = await Promise.all([startCluster(), startRedis()]);
    for (const started of [cluster, ingest]) stopLater(started);
    const eventIds = await cluster.spreadEventIds();
    const { replica, client } = await serveOn(cluster.url, "--ingest-redis-url", ingest.url);
    const watcher = watch(client, eventIds);
    await watcher.caughtUp();
    for (const eventId of eventIds) {
      await publish(ingest, eventId, "u", [`${eventId}-a`]);
      await watcher.sees(eventId, "u", [`${eventId}-a`]);
      await assign(client, eventId, "u", [`${eventId}-b`]);
      await publish(ingest, eventId, "u", [`${eventId}-c`]);
      await watcher.sees(eventId, "u", [`${eventId}-c`]);
    }

    const [lost] = eventIds as [string];
    // Simulates that the shard has lost the newest update of this user, which the control plane's key contains.
    await ingest.cli("SADD", "u.u.g", `${lost}-a`);
    const former = await cluster.masterOf(lost);
    await former.kill("SIGKILL");
    await cluster.waitForFailover(lost, former);
    await eventually(() => assign(client, lost, "other", []));
    await watcher.sees(lost, "u", [`${lost}-a`]);
    await untilReady(replica);
    await publish(ingest, lost, "u", [`${lost}-b`]);
    await watcher.sees(lost, "u", [`${lost}-b`]);
  });
});
