import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createConnection } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it, type TestContext, vi } from "vitest";
import { PermissionService } from "../../../gen/squelch/v1/permission_service_pb.js";
import { Connections } from "../../../src/engine/redis/connection/connections.js";
import { createLogger } from "../../../src/lib/logger.js";
import { connect } from "../../support/clients/watchClient.js";
import { startCluster } from "../../support/redis/startCluster.js";
import { type RedisServer, startRedis } from "../../support/redis/startRedis.js";
import { startSentinel } from "../../support/redis/startSentinel.js";
import { startSquelch } from "../../support/startSquelch.js";
import { waitFor } from "../../support/waitFor.js";

/** How long pauses go on, ms. */
const IDLE_MS = 20_000;
const SLOWEST_PAUSE_MS = 300;

vi.setConfig({ testTimeout: 60_000 });

type OnTestFinished = TestContext["onTestFinished"];

async function serve(onTestFinished: OnTestFinished, overrides: Record<string, string>) {
  const replica = await startSquelch(overrides);
  onTestFinished(() => replica.close());
  const client = connect(replica.grpcAddress);
  onTestFinished(() => client.close());
  await waitFor(async () => (await fetch(`http://${replica.httpAddress}/readyz`)).ok);
  return {
    assign: (eventId: string, channelIds: string[]) =>
      client.unary(PermissionService.method.setUserChannels, { eventId, userId: "anna", channelIds }),
    /** Without a latch, so that it can be repeated. */
    cut: (eventId: string) =>
      client.unary(PermissionService.method.pauseAllSpeakers, { eventId, duration: { seconds: 0n } }),
    pause: (eventId: string) => client.unary(PermissionService.method.pauseAllSpeakers, { eventId }),
    resume: (eventId: string, pauseId = "") =>
      client.unary(PermissionService.method.resumeSpeakers, { eventId, pauseId }),
  };
}

/** The ids of Squelch's connections of one purpose. */
async function idsOf(redis: RedisServer, purpose: string): Promise<string[]> {
  const list = await redis.cli("CLIENT", "LIST");
  return [...list.matchAll(/^id=(\d+) .* name=squelch-(\S+)/gm)]
    .filter(([, , name]) => name === purpose)
    .map(([, id]) => id as string)
    .sort();
}

const idsOfAll = (servers: readonly RedisServer[]) =>
  Promise.all(servers.map((redis) => Promise.all(["commands", "confirmed", "urgent"].map((p) => idsOf(redis, p)))));

describe("Redis closes idle connections (pitfall 59)", () => {
  it("and each pause of an otherwise idle replica succeeds quickly", async ({ onTestFinished }) => {
    const redis = await startRedis({ args: ["--timeout", "2"] });
    onTestFinished(() => redis.stop());
    const { assign, pause, resume } = await serve(onTestFinished, { redisUrl: redis.url });
    const eventId = randomUUID();
    await assign(eventId, ["a"]);
    const connected = await idsOfAll([redis]);
    const tookMs: number[] = [];
    for (const endMs = performance.now() + IDLE_MS; performance.now() < endMs; ) {
      await sleep(2_000 + Math.random() * 1_000);
      const startedMs = performance.now();
      const paused = await pause(eventId);
      tookMs.push(performance.now() - startedMs);
      await resume(eventId, paused.pause?.pauseId);
    }
    expect(Math.max(...tookMs)).toBeLessThan(SLOWEST_PAUSE_MS);
    expect(await idsOfAll([redis])).toEqual(connected);
  });

  it("and connections to the nodes of a Cluster stay open", async ({ onTestFinished }) => {
    const cluster = await startCluster({ replicas: 0 });
    onTestFinished(() => cluster.stop());
    for (const node of cluster.nodes) await node.cli("CONFIG", "SET", "timeout", "2");
    const { assign, cut } = await serve(onTestFinished, { redisUrl: cluster.url, redisLayout: "cluster" });
    const eventIds = await cluster.spreadEventIds();
    const useAll = () =>
      Promise.all(
        eventIds.map(async (eventId) => {
          await assign(eventId, [`${eventId}-a`]);
          await cut(eventId);
        }),
      );
    await useAll();
    const connected = await idsOfAll(cluster.nodes);
    await sleep(6_000);
    await useAll();
    expect(await idsOfAll(cluster.nodes)).toEqual(connected);
  });

  it("and connections to a master from Sentinel stay open", async ({ onTestFinished }) => {
    const group = await startSentinel();
    onTestFinished(() => group.stop());
    for (const server of group.servers) await server.cli("CONFIG", "SET", "timeout", "2");
    const { assign, cut } = await serve(onTestFinished, { redisUrl: group.url });
    await assign("e1", ["a"]);
    const master = await group.master();
    const connected = await idsOfAll([master]);
    const subscribed = await idsOf(master, "subscriptions");
    await sleep(6_000);
    await cut("e1");
    expect(await idsOfAll([master])).toEqual(connected);
    expect(await idsOf(master, "subscriptions")).toEqual(subscribed);
  });
});

describe("a connection that Redis has closed in an orderly way", () => {
  it("is reopened at once", async ({ onTestFinished }) => {
    const redis = await startRedis();
    onTestFinished(() => redis.stop());
    const connections = new Connections(redis.url, createLogger("test", "silent"));
    onTestFinished(() => connections.close());
    await connections.start();
    // After this time the connections count as good ones.
    await sleep(1_100);
    const ids = await idsOf(redis, "urgent");
    await redis.cli("CLIENT", "KILL", "TYPE", "normal");
    const startedMs = performance.now();
    await waitFor(async () => {
      const now = await idsOf(redis, "urgent");
      return now.length === 1 && now[0] !== ids[0] && [...connections.states().values()].every(Boolean);
    });
    // The first back-off takes 750 ms at least.
    expect(performance.now() - startedMs).toBeLessThan(700);
  });
});

describe("an emergency", () => {
  it.for(["urgent", "confirmed"])(
    "is sent over another connection while its own is down (%s), and is replicated",
    async (purpose, { onTestFinished }) => {
      const redis = await startRedis({ args: ["--repl-diskless-sync-delay", "0"] });
      onTestFinished(() => redis.stop());
      const follower = await startRedis({ args: ["--replicaof", "127.0.0.1", String(redis.port)] });
      onTestFinished(() => follower.stop());
      await waitFor(async () => /slave0:.*offset=([1-9]\d*)/.test(await redis.cli("INFO", "replication")));
      const { assign, cut } = await serve(onTestFinished, { redisUrl: redis.url });
      await assign("e1", ["a"]);
      await waitFor(async () => (await cut("e1")).replicated);
      const [id] = await idsOf(redis, purpose);
      // This client is already ready, because from now on no new connection is accepted.
      const admin = createConnection({ host: "127.0.0.1", port: redis.port });
      onTestFinished(() => void admin.destroy());
      await once(admin, "connect");
      const ask = async (command: string) => {
        admin.write(`${command}\r\n`);
        return String(await once(admin, "data"));
      };
      const connected = Number(/connected_clients:(\d+)/.exec(await redis.cli("INFO", "clients"))?.[1]) - 1;
      expect(await ask(`CONFIG SET maxclients ${connected - 1}`)).toContain("OK");
      expect(await ask(`CLIENT KILL ID ${id}`)).toContain(":1");
      const isDown = async () => !(await ask("CLIENT LIST")).includes(`name=squelch-${purpose} `);
      await waitFor(isDown);
      const paused = await cut("e1");
      expect(paused.replicated).toBe(true);
      expect((await assign("e1", [])).removed).toEqual(["a"]);
      expect(await isDown()).toBe(true);
      await ask("CONFIG SET maxclients 10000");
    },
  );
});
