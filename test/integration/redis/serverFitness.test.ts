import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, type TestContext, vi } from "vitest";
import { PermissionService } from "../../../gen/squelch/v1/permission_service_pb.js";
import { ChannelStateManager } from "../../../src/server/state/channelState.js";
import { PermissionSyncManager } from "../../../src/server/state/permissionSync.js";
import { connect } from "../../support/clients/watchClient.js";
import { type RedisOptions, startRedis } from "../../support/redis/startRedis.js";
import { startSentinel } from "../../support/redis/startSentinel.js";
import { runCli } from "../../support/runCli.js";
import { type SquelchProcess, spawnSquelch } from "../../support/startSquelch.js";
import { startTcpProxy } from "../../support/tcpProxy.js";
import { waitFor } from "../../support/waitFor.js";

vi.setConfig({ testTimeout: 60_000 });

type OnTestFinished = TestContext["onTestFinished"];

async function open(onTestFinished: OnTestFinished, options: RedisOptions = {}) {
  const redis = await startRedis(options);
  onTestFinished(() => redis.stop());
  return redis;
}

async function serve(onTestFinished: OnTestFinished, url: string) {
  const replica = await spawnSquelch(["--redis-url", url]);
  onTestFinished(() => replica.stop());
  const client = connect(replica.grpcAddress);
  onTestFinished(() => client.close());
  const assign = () =>
    client.unary(PermissionService.method.setUserChannels, { eventId: randomUUID(), userId: "u1", channelIds: [] });
  return { replica, assign };
}

const start = (...args: string[]) =>
  runCli(["serve", "--grpc-address", "127.0.0.1:0", "--http-address", "127.0.0.1:0", ...args]);

async function readiness({ httpAddress }: SquelchProcess): Promise<string> {
  const response = await fetch(`http://${httpAddress}/readyz`);
  return response.ok ? "ready" : response.text();
}

const isReady = async (replica: SquelchProcess) => (await readiness(replica)) === "ready";

const hasLine = (replica: SquelchProcess, text: string) => replica.lines.some((line) => line.includes(text));

describe("a database that the server does not have (pitfall 60)", () => {
  it("is refused at start, with a message and the exit code of a misuse", async ({ onTestFinished }) => {
    const redis = await open(onTestFinished);
    const apart = await open(onTestFinished, { args: ["--databases", "4"] });
    const refusal = (option: string, database: number) =>
      `${option}: must name a database that the server has, not ${database}; ` +
      'name another, or raise "databases" in its configuration';
    const state = await start("--redis-url", `${redis.url}/16`);
    expect(state.exitCode).toBe(2);
    expect(state.stderr).toContain(refusal("--redis-url (SQUELCH_REDIS_URL)", 16));
    const ingest = await start("--redis-url", redis.url, "--ingest-redis-url", `${apart.url}/4`);
    expect(ingest.exitCode).toBe(2);
    expect(ingest.stderr).toContain(refusal("--ingest-redis-url (SQUELCH_INGEST_REDIS_URL)", 4));
    expect(await apart.cli("INFO", "keyspace")).not.toContain("db");
  });

  it("is refused at start with Sentinel", async ({ onTestFinished }) => {
    const group = await startSentinel();
    onTestFinished(() => group.stop());
    const { exitCode, stderr } = await start("--redis-url", `${group.url}/16`);
    expect(exitCode).toBe(2);
    expect(stderr).toContain("--redis-url (SQUELCH_REDIS_URL): must name a database that the server has, not 16");
  });

  it("is refused by the classes of the library", async ({ onTestFinished }) => {
    const redis = await open(onTestFinished);
    const expected = { code: "invalidArgument", message: expect.stringMatching(/^redisUrl: must name a database/) };
    const state = new ChannelStateManager({ redisUrl: `${redis.url}/16` });
    onTestFinished(() => state.shutdown());
    await expect(state.initialize()).rejects.toMatchObject(expected);
    const sync = new PermissionSyncManager(() => undefined, { redisUrl: `${redis.url}/16` });
    onTestFinished(() => sync.stop());
    await expect(sync.start()).rejects.toMatchObject(expected);
    expect(sync.isConnected()).toBe(false);
  });

  it("is refused at a reconnect, named in the readiness, and used once the server has it", async ({
    onTestFinished,
  }) => {
    const few = await open(onTestFinished, { args: ["--databases", "4"] });
    const many = await open(onTestFinished);
    let behind = many;
    const proxy = await startTcpProxy(() => behind.port);
    onTestFinished(() => proxy.close());
    const { replica, assign } = await serve(onTestFinished, `redis://127.0.0.1:${proxy.port}/9`);
    await assign();
    behind = few;
    proxy.cut();
    await waitFor(async () => (await readiness(replica)).includes("must name a database that the server has, not 9"));
    await expect(assign()).rejects.toThrow();
    expect(replica.lines.filter((line) => line.includes("does not fit its URL"))).toHaveLength(1);
    expect(await few.cli("INFO", "keyspace")).not.toContain("db");
    behind = many;
    await waitFor(() => isReady(replica));
    await assign();
    expect(await many.cli("INFO", "keyspace")).toContain("db9");
    expect(await many.cli("INFO", "keyspace")).not.toContain("db0");
  });
});

describe("a server that does not match the kind of the URL", () => {
  it("is refused at start: a node of a Cluster, a sentinel", async ({ onTestFinished }) => {
    const node = await open(onTestFinished, { args: ["--cluster-enabled", "yes"] });
    const redis = await open(onTestFinished);
    const refused = await start("--redis-url", node.url);
    expect(refused.exitCode).toBe(2);
    expect(refused.stderr).toContain(
      `--redis-url (SQUELCH_REDIS_URL): must name a single server, but 127.0.0.1:${node.port} is a node of a Cluster; ` +
        `use redis+cluster://127.0.0.1:${node.port}`,
    );
    const ingest = await start("--redis-url", redis.url, "--ingest-redis-url", node.url);
    expect(ingest.exitCode).toBe(2);
    expect(ingest.stderr).toContain("is a node of a Cluster; use a single server or Sentinel");
    const group = await startSentinel();
    onTestFinished(() => group.stop());
    const sentinel = await start("--redis-url", `redis://127.0.0.1:${group.sentinels[0]?.port}`);
    expect(sentinel.exitCode).toBe(2);
    expect(sentinel.stderr).toContain("is a sentinel; use redis+sentinel://127.0.0.1:");
  });

  it("that appears after the start is named in the log, and the replica is not ready", async ({ onTestFinished }) => {
    const node = await open(onTestFinished, { args: ["--cluster-enabled", "yes"] });
    let port: number | undefined;
    const proxy = await startTcpProxy(() => port);
    onTestFinished(() => proxy.close());
    const { replica } = await serve(onTestFinished, `redis://127.0.0.1:${proxy.port}`);
    expect(await isReady(replica)).toBe(false);
    port = node.port;
    await waitFor(() => hasLine(replica, "is a node of a Cluster; use redis+cluster://"), { timeoutMs: 40_000 });
    expect(await readiness(replica)).toContain("is a node of a Cluster");
  });
});

describe("a server that rejects connections", () => {
  it("for a wrong password is named in the log, and retried", async ({ onTestFinished }) => {
    const redis = await open(onTestFinished);
    await redis.cli("ACL", "SETUSER", "ann", "on", ">other", "~*", "&*", "+@all");
    const { replica, assign } = await serve(onTestFinished, `redis://ann:pass@127.0.0.1:${redis.port}`);
    await waitFor(() => hasLine(replica, "WRONGPASS"));
    expect(await isReady(replica)).toBe(false);
    await redis.cli("ACL", "SETUSER", "ann", ">pass");
    await waitFor(() => isReady(replica), { timeoutMs: 40_000 });
    await assign();
  });

  it("because no connection is free is named in the log, and retried", async ({ onTestFinished }) => {
    const redis = await open(onTestFinished);
    await redis.cli("CONFIG", "SET", "maxclients", "1");
    const other = createConnection({ host: "127.0.0.1", port: redis.port });
    onTestFinished(() => void other.destroy());
    await once(other, "connect");
    const { replica, assign } = await serve(onTestFinished, redis.url);
    await waitFor(() => hasLine(replica, "max number of clients reached"));
    expect(await isReady(replica)).toBe(false);
    other.write("CONFIG SET maxclients 10000\r\n");
    await waitFor(() => isReady(replica), { timeoutMs: 40_000 });
    await assign();
  });

  it("while it loads its data is named in the log, and used once it has", async ({ onTestFinished }) => {
    const dir = await mkdtemp(join(tmpdir(), "squelch-loading-"));
    onTestFinished(() => rm(dir, { recursive: true, force: true }));
    const args = ["--enable-debug-command", "yes"];
    const full = await startRedis({ dir, args });
    await full.cli("DEBUG", "POPULATE", "20000");
    await full.cli("SAVE");
    await full.stop();
    const redis = await open(onTestFinished, { dir, args });
    // The time to load each key, µs. All keys together take about two seconds.
    await redis.cli("CONFIG", "SET", "key-load-delay", "100");
    await redis.cli("CONFIG", "SET", "loading-process-events-interval-bytes", "1024");
    const reloaded = redis.cli("DEBUG", "RELOAD", "NOSAVE");
    onTestFinished(() => reloaded.then(() => undefined));
    await waitFor(async () => (await redis.cli("INFO", "persistence")).includes("loading:1"));
    const { replica, assign } = await serve(onTestFinished, redis.url);
    expect(hasLine(replica, "LOADING Redis is loading its data")).toBe(true);
    await waitFor(() => isReady(replica));
    await assign();
  });

  it("by an ACL that denies ROLE, CLIENT and CONFIG is served without them", async ({ onTestFinished }) => {
    const redis = await open(onTestFinished);
    await redis.cli("ACL", "SETUSER", "few", "on", ">pass", "~*", "&*", "+@all", "-role", "-client", "-config");
    const { replica, assign } = await serve(onTestFinished, `redis://few:pass@127.0.0.1:${redis.port}/3`);
    await waitFor(() => isReady(replica));
    await assign();
    expect(await redis.cli("INFO", "keyspace")).toContain("db3");
  });

  it("by an ACL that denies INFO is named in the log", async ({ onTestFinished }) => {
    const redis = await open(onTestFinished);
    await redis.cli("ACL", "SETUSER", "few", "on", ">pass", "~*", "&*", "+@all", "-info");
    const { replica } = await serve(onTestFinished, `redis://few:pass@127.0.0.1:${redis.port}`);
    await waitFor(() => hasLine(replica, "redis denies INFO to its user"));
  });
});
