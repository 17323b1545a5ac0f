import { randomUUID } from "node:crypto";
import { Writable } from "node:stream";
import type { Redis } from "ioredis";
import { pino } from "pino";
import { describe, expect, it, type TestContext, vi } from "vitest";
import { PermissionService } from "../../../gen/squelch/v1/permission_service_pb.js";
import { Connections } from "../../../src/engine/redis/connection/connections.js";
import { connect, watchOn } from "../../support/clients/watchClient.js";
import { type RedisServer, startRedis } from "../../support/redis/startRedis.js";
import { spawnSquelch } from "../../support/startSquelch.js";
import { startTcpProxy } from "../../support/tcpProxy.js";
import { waitFor } from "../../support/waitFor.js";

/** The longest time until writes succeed after the name leads to the primary, ms. */
const LEFT_WITHIN_MS = 5_000;
const PURPOSES = ["commands", "confirmed", "urgent", "subscriptions"];

vi.setConfig({ testTimeout: 60_000 });

type OnTestFinished = TestContext["onTestFinished"];

/** A primary, a replica of it, and a proxy instead of a name that leads to one of them. */
async function open(onTestFinished: OnTestFinished) {
  const start = async (...args: string[]) => {
    const redis = await startRedis({ args: ["--repl-diskless-sync-delay", "0", "--shutdown-timeout", "0", ...args] });
    onTestFinished(() => redis.stop());
    return redis;
  };
  const primary = await start();
  const replica = await start("--replicaof", "127.0.0.1", String(primary.port));
  await waitFor(async () => (await primary.cli("INFO", "replication")).includes("state=online"));
  let target = primary;
  const proxy = await startTcpProxy(() => target.port);
  onTestFinished(() => proxy.close());
  return {
    primary,
    replica,
    proxy,
    url: `redis://127.0.0.1:${proxy.port}`,
    /** Exchanges the roles of the two servers. Connections stay, and new ones lead to the former primary until `follow`. */
    async swap() {
      await replica.cli("REPLICAOF", "NO", "ONE");
      await primary.cli("REPLICAOF", "127.0.0.1", String(replica.port));
    },
    follow: () => {
      target = replica;
    },
  };
}

async function clientsOf(redis: RedisServer): Promise<string[]> {
  const clients = [...(await redis.cli("CLIENT", "LIST")).matchAll(/ name=squelch-(\S+)/g)];
  return [...new Set(clients.map(([, purpose]) => purpose as string))].sort();
}

/** Returns the number of connections that a server has accepted since its start, without those of this test. */
async function countConnections(redis: RedisServer): Promise<number> {
  const all = Number(/total_connections_received:(\d+)/.exec(await redis.cli("INFO", "stats"))?.[1]);
  const asked = (asking.get(redis) ?? 0) + 1;
  asking.set(redis, asked);
  return all - asked;
}
const asking = new WeakMap<RedisServer, number>();

/** A log that a test reads. */
function openLog() {
  const lines: string[] = [];
  const stream = new Writable({
    write(line: Buffer, _encoding, done) {
      lines.push(line.toString());
      done();
    },
  });
  return { logger: pino(stream), lines };
}

describe("a primary that is demoted under standing connections (pitfall 58)", () => {
  it("is left by all connections, and writes succeed within 5 s after the name leads to the new one", async ({
    onTestFinished,
  }) => {
    const { replica: successor, primary, url, swap, follow } = await open(onTestFinished);
    const squelch = await spawnSquelch(["--redis-url", url]);
    onTestFinished(() => squelch.stop());
    const client = connect(squelch.grpcAddress);
    onTestFinished(() => client.close());
    const eventId = randomUUID();
    const assign = (channelIds: string[]) =>
      client.unary(PermissionService.method.setUserChannels, { eventId, userId: "anna", channelIds });
    const pause = () => client.unary(PermissionService.method.pauseAllSpeakers, { eventId });
    await assign(["a", "b"]);
    const watch = watchOn(client, { eventIds: [eventId], checkpointInterval: { seconds: 1n } });
    onTestFinished(() => watch.close());
    await watch.caughtUp();

    await swap();
    const readiness = async () => (await fetch(`http://${squelch.httpAddress}/readyz`)).text();
    await waitFor(async () => (await readiness()).includes("the server is a replica"));
    // Each attempt leads to the demoted server, which does not count as a success.
    const before = await countConnections(primary);
    await waitFor(async () => (await countConnections(primary)) > before + 3 * PURPOSES.length);
    await expect(assign(["a"])).rejects.toThrow();
    expect(await readiness()).toContain("the server is a replica");

    follow();
    const startedMs = performance.now();
    await waitFor(() => assign([]).catch(() => undefined), { timeoutMs: LEFT_WITHIN_MS });
    await waitFor(() => pause().catch(() => undefined), { timeoutMs: LEFT_WITHIN_MS });
    expect(performance.now() - startedMs).toBeLessThan(LEFT_WITHIN_MS);
    await waitFor(() => watch.picture.channelsOf(eventId, "anna")?.length === 0);
    await waitFor(async () => (await clientsOf(successor)).length === PURPOSES.length);
    expect(await clientsOf(primary)).toEqual([]);
    const reports = squelch.lines.filter((line) => line.includes("redis server is a replica"));
    expect(reports).toHaveLength(1);
  });

  it("is left at once by all connections when a script answers READONLY", async ({ onTestFinished }) => {
    const { replica: successor, primary, url, swap, follow } = await open(onTestFinished);
    const { logger } = openLog();
    const connections = new Connections(url, logger);
    onTestFinished(() => connections.close());
    await connections.start();
    const { commands, confirmed, urgent, subscriptions } = connections;
    await subscriptions.subscribe("squelch:ingest");
    const streams = [commands, confirmed, urgent, subscriptions].map((connection) => (connection as Redis).stream);
    await swap();
    follow();
    await expect(commands.eval("return redis.call('SET', KEYS[1], 1)", 1, "k")).rejects.toThrow("READONLY");
    expect(streams.map(({ writable }) => writable)).toEqual([false, false, false, false]);
    const startedMs = performance.now();
    await waitFor(() => commands.set("k", "2").catch(() => undefined));
    await waitFor(() => [...connections.states().values()].every(Boolean));
    // The first back-off takes 750 ms at least.
    expect(performance.now() - startedMs).toBeLessThan(700);
    expect(await clientsOf(successor)).toEqual([...PURPOSES].sort());
    expect(await clientsOf(primary)).toEqual([]);
  });

  it("is left without a write, when it answers ROLE", async ({ onTestFinished }) => {
    const { replica: successor, primary, url, swap, follow } = await open(onTestFinished);
    const { logger } = openLog();
    const connections = new Connections(url, logger);
    onTestFinished(() => connections.close());
    await connections.start();
    const before = await countConnections(primary);
    let successes = 0;
    connections.commands.on("ready", () => successes++);
    await swap();
    // Connections that lead to the demoted server do not count as a success.
    await waitFor(async () => (await countConnections(primary)) > before + 3 * PURPOSES.length);
    expect(successes).toBe(0);
    follow();
    await waitFor(async () => (await clientsOf(successor)).length === PURPOSES.length);
    expect(await clientsOf(primary)).toEqual([]);
    expect(successes).toBe(1);
  });

  it("is left by the subscriptions when the other connections have found the new one", async ({ onTestFinished }) => {
    const { replica: successor, primary, url, swap, follow } = await open(onTestFinished);
    const { logger, lines } = openLog();
    const connections = new Connections(url, logger);
    onTestFinished(() => connections.close());
    await connections.start();
    await connections.subscriptions.subscribe("squelch:ingest");
    await swap();
    follow();
    await primary.cli("CLIENT", "KILL", "TYPE", "normal");
    await waitFor(async () => (await clientsOf(successor)).length === PURPOSES.length);
    expect(await clientsOf(primary)).toEqual([]);
    expect(lines.filter((line) => line.includes("lead to different servers"))).toHaveLength(1);
  });

  it("is left if an ACL denies INFO and ROLE, and does not count as a success", async ({ onTestFinished }) => {
    const { replica: successor, primary, url, swap, follow } = await open(onTestFinished);
    for (const redis of [primary, successor]) {
      await redis.cli("ACL", "SETUSER", "few", "on", ">pass", "~*", "&*", "+@all", "-info", "-role");
    }
    const { logger, lines } = openLog();
    const connections = new Connections(url.replace("//", "//few:pass@"), logger);
    onTestFinished(() => connections.close());
    await connections.start();
    const write = () => connections.commands.set("k", "1");
    await write();
    await swap();
    const before = await countConnections(primary);
    // Each write is refused, and leads to four connections more.
    await waitFor(async () => {
      await expect(write()).rejects.toThrow();
      return (await countConnections(primary)) > before + 3 * PURPOSES.length;
    });
    expect(connections.unfitReason).toContain("the server is a replica");
    expect(lines.filter((line) => line.includes("redis server is a replica"))).toHaveLength(1);
    follow();
    await waitFor(() => write().catch(() => undefined), { timeoutMs: LEFT_WITHIN_MS });
    await waitFor(() => connections.unfitReason === undefined);
  });
});
