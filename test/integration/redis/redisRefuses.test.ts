import { randomUUID } from "node:crypto";
import { mkdir, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type ServiceError, status } from "@grpc/grpc-js";
import { Redis } from "ioredis";
import { describe, expect, it, type TestContext } from "vitest";
import { createRedisEngine } from "../../../src/engine/redis/engine.js";
import { createLogger } from "../../../src/lib/logger.js";
import type { Replica } from "../../../src/server/start.js";
import { methods } from "../../support/clients/methods.js";
import { connect, watchOn } from "../../support/clients/watchClient.js";
import { startCluster } from "../../support/redis/startCluster.js";
import { type RedisServer, startRedis } from "../../support/redis/startRedis.js";
import { runCli } from "../../support/runCli.js";
import { sampleOf, scrape, scrapeValue } from "../../support/scrape.js";
import { spawnSquelch, startSquelch } from "../../support/startSquelch.js";
import { waitFor } from "../../support/waitFor.js";

const { watchPermissions: _, syncEventMembers: __, ...calls } = methods;

/** How long Redis refuses writes. The replica must be unready within 6 s. */
const REFUSED_MS = 7_000;
const CHECKPOINT_MS = 1_000;

/** A way to make Redis refuse this replica's writes: how to begin and end it, and the code that callers receive. */
interface Refusal {
  name: string;
  code: string;
  begin(redis: RedisServer): Promise<unknown>;
  end(redis: RedisServer): Promise<unknown>;
}

const config = (name: string, refusing: string, accepting: string): Omit<Refusal, "name" | "code"> => ({
  begin: (redis) => redis.cli("CONFIG", "SET", name, refusing),
  end: (redis) => redis.cli("CONFIG", "SET", name, accepting),
});
const rights = (...denied: string[]): Omit<Refusal, "name" | "code"> => ({
  begin: (redis) => redis.cli("ACL", "SETUSER", "squelch", ...denied),
  end: (redis) => redis.cli("ACL", "SETUSER", "squelch", "+@all"),
});

const REFUSALS: Refusal[] = [
  { name: "maxmemory reached", code: "OOM", ...config("maxmemory", "1", "0") },
  { name: "too few replicas", code: "NOREPLICAS", ...config("min-replicas-to-write", "1", "0") },
  {
    name: "made a replica",
    code: "READONLY",
    // The link to its primary is down, so the existing data is not replaced.
    begin: (redis) => redis.cli("REPLICAOF", "127.0.0.1", "1"),
    end: (redis) => redis.cli("REPLICAOF", "NO", "ONE"),
  },
  {
    name: "a disk that takes no snapshot",
    code: "MISCONF",
    async begin(redis) {
      // The target file of the snapshot is a directory, because root could write to any other place.
      await mkdir(join(await folderOf(redis), "dump.rdb"));
      await redis.cli("CONFIG", "SET", "save", "3600 1000000");
      await redis.cli("BGSAVE");
      await waitFor(async () => (await redis.cli("INFO", "persistence")).includes("rdb_last_bgsave_status:err"));
    },
    async end(redis) {
      await rmdir(join(await folderOf(redis), "dump.rdb"));
      await redis.cli("CONFIG", "SET", "save", "");
    },
  },
  { name: "all writes denied", code: "NOPERM", ...rights("-@write") },
  { name: "one command denied", code: "NOPERM", ...rights("-xadd") },
  { name: "scripts denied", code: "NOPERM", ...rights("-evalsha", "-eval") },
  {
    name: "a script that does not end",
    code: "BUSY",
    async begin(redis) {
      await redis.cli("CONFIG", "SET", "busy-reply-threshold", "50");
      const busy = new Redis(redis.url, { maxRetriesPerRequest: 0, retryStrategy: () => null });
      busy.eval("while true do end", 0).catch(() => busy.disconnect());
      await waitFor(() =>
        redis.cli("PING").then(
          () => false,
          (error: Error) => error.message.includes("BUSY"),
        ),
      );
    },
    end: (redis) => redis.cli("SCRIPT", "KILL"),
  },
];

async function folderOf(redis: RedisServer): Promise<string> {
  return (await redis.cli("CONFIG", "GET", "dir")).split("\n")[1] as string;
}

async function startGuarded(onTestFinished: TestContext["onTestFinished"]) {
  const redis = await startRedis();
  onTestFinished(() => redis.stop());
  await redis.cli("ACL", "SETUSER", "squelch", "on", ">secret", "~*", "&*", "+@all");
  return { redis, url: redis.url.replace("//", "//squelch:secret@") };
}

/** A replica with an event in which anna has two channels, and a watch of it. */
async function open(
  isApart: boolean,
  onTestFinished: TestContext["onTestFinished"],
  start: (flags: Record<string, string>) => Promise<Replica> = startSquelch,
) {
  const state = await startGuarded(onTestFinished);
  const ingest = isApart ? await startGuarded(onTestFinished) : state;
  const replica = await start({ redisUrl: state.url, ...(isApart && { ingestRedisUrl: ingest.url }) });
  onTestFinished(() => replica.close());
  const client = connect(replica.grpcAddress);
  onTestFinished(() => client.close());
  const eventId = randomUUID();
  const publish = (userId: string, channelIds: string[]) =>
    ingest.redis.cli("PUBLISH", "vp:membership_updates", JSON.stringify({ eventId, userId, channelIds }));
  const watch = watchOn(client, {
    eventIds: [eventId],
    checkpointInterval: { seconds: BigInt(CHECKPOINT_MS / 1_000) },
  });
  onTestFinished(() => watch.close());
  await watch.caughtUp();
  await publish(
    "anna",
    ["a", "b"].map((channel) => `${eventId}-${channel}`),
  );
  await waitFor(() => watch.picture.channelsOf(eventId, "anna")?.length === 2);
  const readiness = async () => {
    const answer = await fetch(`http://${replica.httpAddress}/readyz`);
    return { status: answer.status, ...((await answer.json()) as { reason?: string }) };
  };
  const errors: ServiceError[] = [];
  const assign = async (userId: string) => {
    const call = client.unary(calls.setUserChannels, { eventId, userId, channelIds: [`${eventId}-a`] });
    return call.catch((error: ServiceError) => void errors.push(error));
  };
  return { state: state.redis, ingest: ingest.redis, replica, eventId, publish, watch, readiness, errors, assign };
}

/** Makes Redis refuse for a while, and checks the effects for callers, watchers and operators. */
async function refuse({ code, begin, end }: Refusal, isApart: boolean, onTestFinished: TestContext["onTestFinished"]) {
  const { state, replica, eventId, publish, watch, readiness, errors, assign } = await open(isApart, onTestFinished);
  await waitFor(async () => (await readiness()).status === 200);
  await begin(state);
  const refusedAt = performance.now();
  // A busy Redis does not publish either.
  const isPublishing = isApart || code !== "BUSY";
  if (isPublishing) await publish("anna", []);
  await waitFor(async () => (await readiness()).status === 503, { timeoutMs: 6_000 });
  expect(performance.now() - refusedAt).toBeLessThan(6_000);
  expect((await readiness()).reason).toContain(`(${code})`);
  await waitFor(() => watch.picture.checkpoints.at(-1)?.feedHealthy === false);
  expect(watch.picture.checkpoints.at(-1)?.feedProblem).toContain(`(${code})`);
  await assign("ben");
  expect(errors).toEqual([
    expect.objectContaining({ code: status.UNAVAILABLE, details: expect.stringContaining(`(${code})`) }),
  ]);
  const metrics = await scrape(replica.httpAddress);
  expect(sampleOf(metrics, 'squelch_redis_writes_refused{redis="state"}')).toBe(1);
  expect(sampleOf(metrics, `squelch_redis_refusals_total{redis="state",code="${code}"}`)).toBe(1);
  await waitFor(() => performance.now() - refusedAt > REFUSED_MS, { timeoutMs: REFUSED_MS });
  expect((await readiness()).status).toBe(503);

  const reconciles = async () => {
    const outcome = 'squelch_reconciles_total{outcome="done"}';
    return (await scrapeValue(replica.httpAddress, outcome)) as number;
  };
  const reconciledBefore = await reconciles();
  await end(state);
  const endedAt = performance.now();
  if (!isPublishing) await publish("anna", []);
  await waitFor(async () => (await readiness()).status === 200, { timeoutMs: 5_000 });
  await waitFor(() => watch.picture.channelsOf(eventId, "anna")?.length === 0, { timeoutMs: CHECKPOINT_MS + 5_000 });
  expect(performance.now() - endedAt).toBeLessThan(CHECKPOINT_MS + 5_000);
  await assign("ben");
  expect(errors).toHaveLength(1);
  await waitFor(async () => (await reconciles()) > reconciledBefore, { timeoutMs: 5_000 });
  expect(watch.error).toBeUndefined();
}

describe.concurrent("while Redis refuses writes", () => {
  it.for(REFUSALS)(
    "($name) nothing is lost, no caller gets INTERNAL, and the replica is not ready (G3, G9)",
    { timeout: 60_000 },
    async (refusal, { onTestFinished }) => {
      // The state and the ingest are on one Redis, or on two.
      await Promise.all([false, true].map((isApart) => refuse(refusal, isApart, onTestFinished)));
    },
  );

  it("for two seconds, a revocation that is published meanwhile is soon in force, and the log reports the beginning and the end once (G3)", {
    timeout: 60_000,
  }, async ({ onTestFinished }) => {
    const lines: (readonly string[])[] = [];
    const { state, eventId, publish, watch } = await open(false, onTestFinished, async ({ redisUrl = "" }) => {
      const replica = await spawnSquelch(["--redis-url", redisUrl]);
      lines.push(replica.lines);
      return { ...replica, close: () => replica.stop() };
    });
    await state.cli("CONFIG", "SET", "min-replicas-to-write", "1");
    await publish("anna", []);
    await sleep(2_000);
    await state.cli("CONFIG", "SET", "min-replicas-to-write", "0");
    await waitFor(() => watch.picture.channelsOf(eventId, "anna")?.length === 0, { timeoutMs: CHECKPOINT_MS + 5_000 });
    await waitFor(() => watch.picture.checkpoints.at(-1)?.feedHealthy);
    const logged = (message: string) => lines[0]?.filter((line) => line.includes(`"msg":"${message}"`));
    await waitFor(() => logged("redis accepts writes again")?.length === 1);
    await waitFor(() => logged("reconciled with the control plane's keys")?.length);
    expect(logged("redis rejects writes")).toHaveLength(1);
  });
});

describe.concurrent("a subscription that is opened again while Redis refuses tickets", () => {
  it("keeps what is published before its first ticket, also if no key proves it (G3)", { timeout: 60_000 }, async ({
    onTestFinished,
  }) => {
    const { state, replica, eventId, publish, watch } = await open(false, onTestFinished);
    const interruptions = async () =>
      (await scrapeValue(replica.httpAddress, "squelch_subscription_interruptions_total")) ?? 0;
    const subscribers = async () =>
      Number((await state.cli("PUBSUB", "NUMSUB", "vp:membership_updates")).split("\n")[1]);
    await state.cli("CONFIG", "SET", "min-replicas-to-write", "1");
    const before = await interruptions();
    await state.cli("CLIENT", "KILL", "TYPE", "pubsub");
    await waitFor(async () => (await interruptions()) > before && (await subscribers()) === 1);
    await publish("anna", [`${eventId}-a`]);
    await publish("anna", []);
    await sleep(2_000);
    await state.cli("CONFIG", "SET", "min-replicas-to-write", "0");
    await waitFor(() => watch.picture.channelsOf(eventId, "anna")?.length === 0, { timeoutMs: CHECKPOINT_MS + 5_000 });
  });
});

describe.concurrent("a revocation of which Redis rejected the control plane's DEL", () => {
  it("is not undone by a reconcile, until the set is written again (G6)", { timeout: 60_000 }, async ({
    onTestFinished,
  }) => {
    const { state, replica, eventId, publish, watch } = await open(false, onTestFinished);
    const client = connect(replica.grpcAddress);
    onTestFinished(() => client.close());
    const channelsOfAnna = () => watch.picture.channelsOf(eventId, "anna");
    await state.cli("SADD", "u.anna.g", `${eventId}-a`, `${eventId}-b`);
    await state.cli("CONFIG", "SET", "min-replicas-to-write", "1");
    await expect(state.cli("DEL", "u.anna.g")).rejects.toThrow("NOREPLICAS");
    await publish("anna", []);
    await sleep(2_000);
    await state.cli("CONFIG", "SET", "min-replicas-to-write", "0");
    await waitFor(() => channelsOfAnna()?.length === 0, { timeoutMs: CHECKPOINT_MS + 5_000 });
    const reconciles = () => scrapeValue(replica.httpAddress, 'squelch_reconciles_total{outcome="done"}');
    await waitFor(async () => ((await reconciles()) ?? 0) > 0, { timeoutMs: 10_000 });
    const outcome = await client.unary(calls.reconcileMemberships, {});
    expect(outcome).toMatchObject({ changedUsers: 0, ambiguousUsers: 1 });
    expect(channelsOfAnna()).toEqual([]);

    // An update that nobody received.
    await state.cli("SREM", "u.anna.g", `${eventId}-b`);
    await client.unary(calls.reconcileMemberships, {});
    await waitFor(() => channelsOfAnna()?.length === 1);
  });
});

describe.concurrent("several replicas after a refusal", () => {
  it("reconcile once", { timeout: 60_000 }, async ({ onTestFinished }) => {
    const { redis, url } = await startGuarded(onTestFinished);
    const replicas = await Promise.all([1, 2, 3].map(() => startSquelch({ redisUrl: url })));
    onTestFinished(async () => void (await Promise.all(replicas.map((replica) => replica.close()))));
    const isReady = ({ httpAddress }: Replica) => fetch(`http://${httpAddress}/readyz`).then(({ ok }) => ok);
    const areReady = async (expected: boolean) =>
      (await Promise.all(replicas.map(isReady))).every((is) => is === expected);
    const reconciles = async () => {
      const name = 'squelch_reconciles_total{outcome="done"}';
      const counts = await Promise.all(replicas.map(({ httpAddress }) => scrapeValue(httpAddress, name)));
      return counts.reduce<number>((sum, count) => sum + (count ?? 0), 0);
    };
    await waitFor(() => areReady(true));
    // The first watermark needs one, too.
    await waitFor(async () => (await redis.cli("HGET", "squelch:ingest:applied", "generation")) !== "");
    const before = await reconciles();
    await redis.cli("CONFIG", "SET", "min-replicas-to-write", "1");
    await waitFor(() => areReady(false));
    await redis.cli("CONFIG", "SET", "min-replicas-to-write", "0");
    await waitFor(async () => (await reconciles()) > before, { message: "a reconcile" });
    // Longer than the wait of a request and of a claim together.
    await sleep(4_000);
    expect(await reconciles()).toBe(before + 1);
    expect(await areReady(true)).toBe(true);
  });
});

describe.concurrent("a replica that Redis does not let in", () => {
  it("says so with the remedy, and comes back when it is let in again", { timeout: 60_000 }, async ({
    onTestFinished,
  }) => {
    const { state, readiness } = await open(false, onTestFinished);
    await state.cli("ACL", "SETUSER", "squelch", "resetpass", ">another");
    await state.cli("CLIENT", "KILL", "USER", "squelch");
    await waitFor(async () => (await readiness()).reason?.includes("(WRONGPASS): correct them in the URL"), {
      timeoutMs: 15_000,
    });
    // For so long that the wait of a connection that cannot reach its server would exceed the limit below.
    await sleep(8_000);
    await state.cli("ACL", "SETUSER", "squelch", ">secret");
    await waitFor(async () => (await readiness()).status === 200, { timeoutMs: 5_000 });
  });
});

describe.concurrent("a replica that stops while Redis refuses its updates", () => {
  it("leaves them to a reconcile by the next replica (G3)", { timeout: 60_000 }, async ({ onTestFinished }) => {
    const { state, replica, eventId, publish, watch } = await open(false, onTestFinished);
    const channels = [`${eventId}-a`, `${eventId}-b`];
    // The next replica must know that the control plane had a key of anna, and find that the key is missing.
    await state.cli("SADD", "u.anna.g", ...channels);
    const client = connect(replica.grpcAddress);
    onTestFinished(() => client.close());
    await client.unary(calls.reconcileMemberships, {});
    await state.cli("DEL", "u.anna.g");
    await state.cli("CONFIG", "SET", "min-replicas-to-write", "1");
    await publish("anna", []);
    await waitFor(async () => ((await scrapeValue(replica.httpAddress, "squelch_ingest_queued_updates")) ?? 0) > 0);
    watch.close();
    await replica.close();
    await state.cli("CONFIG", "SET", "min-replicas-to-write", "0");
    const next = await startSquelch({ redisUrl: state.url });
    onTestFinished(() => next.close());
    const nextClient = connect(next.grpcAddress);
    onTestFinished(() => nextClient.close());
    const read = () => nextClient.unary(calls.getUserPermissions, { eventId, userId: "anna" });
    await waitFor(async () => (await read()).channelIds.length === 0, { timeoutMs: 15_000 });
  });
});

describe.concurrent("squelch status of a replica that Redis refuses", () => {
  it("names the cause and the remedy, for the replica and in the fleet", { timeout: 60_000 }, async ({
    onTestFinished,
  }) => {
    const { state, replica, readiness } = await open(false, onTestFinished);
    await state.cli("CONFIG", "SET", "maxmemory", "1");
    await waitFor(async () => (await readiness()).status === 503, { timeoutMs: 6_000 });
    const shown = await runCli(["status", "--fleet", "--address", replica.grpcAddress]);
    expect(shown.exitCode).toBe(1);
    expect(shown.stdout).toContain("problem  Redis is full (OOM): raise maxmemory");
    expect(shown.stdout).toContain("not healthy: Redis is full (OOM): raise maxmemory");
    expect(shown.stderr).toBe(
      `squelch: changes do not reach ${replica.grpcAddress}, it serves its last data; Redis is full (OOM): raise maxmemory\n`,
    );
  });
});

describe.concurrent("a right that is missing for one of the two audit trails", () => {
  it("does not fill the other trail with copies, and refused records are written later", { timeout: 60_000 }, async ({
    onTestFinished,
  }) => {
    const { state, assign } = await open(false, onTestFinished);
    await state.cli("ACL", "SETUSER", "squelch", "-lpush");
    const length = async (command: string, key: string) => Number(await state.cli(command, key));
    const before = [await length("XLEN", "squelch:audit"), await length("LLEN", "audit:log")] as const;
    await assign("ben");
    await waitFor(async () => (await length("XLEN", "squelch:audit")) === before[0] + 1);
    await sleep(2_500);
    expect(await length("XLEN", "squelch:audit")).toBe(before[0] + 1);
    await state.cli("ACL", "SETUSER", "squelch", "+lpush");
    await waitFor(async () => (await length("LLEN", "audit:log")) === before[1] + 1, { timeoutMs: 5_000 });
    expect(await length("XLEN", "squelch:audit")).toBe(before[0] + 1);
  });
});

describe.concurrent("a Cluster", () => {
  it("is probed shard by shard: each shard that refuses makes the feed unhealthy", { timeout: 60_000 }, async ({
    onTestFinished,
  }) => {
    const cluster = await startCluster({ replicas: 0 });
    onTestFinished(() => cluster.stop());
    const engine = createRedisEngine({ url: cluster.url, layout: "cluster", logger: createLogger("test", "silent") });
    onTestFinished(() => engine.close());
    await engine.start();
    const isHealthy = () => engine.feedHealth().healthy;
    for (const node of cluster.nodes) {
      await waitFor(isHealthy, { timeoutMs: 15_000 });
      await node.cli("CONFIG", "SET", "maxmemory", "1");
      await waitFor(() => engine.feedHealth().problem?.includes("(OOM)"), { timeoutMs: 6_000 });
      await node.cli("CONFIG", "SET", "maxmemory", "0");
    }
    await waitFor(isHealthy, { timeoutMs: 5_000 });
  });
});
