import { randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findFreePort } from "../childProcess.js";
import { stopAll } from "../stopAll.js";
import { waitFor } from "../waitFor.js";
import { type RedisProcess, startRedisProcess } from "./redisProcess.js";
import { type RedisServer, startRedis } from "./startRedis.js";

const MASTER_NAME = "squelch";
const START_TIMEOUT_MS = 15_000;
const FAILOVER_TIMEOUT_MS = 20_000;
/** For how long sentinels do not reconfigure a replaced master that still answers, ms. */
const SETTLE_TIMEOUT_MS = 60_000;

/** One Redis master, two replicas of it, and three sentinels that need a quorum of two. */
export interface SentinelGroup {
  /** `redis+sentinel://` with all sentinels. */
  readonly url: string;
  /** The master and the replicas, in no fixed order. */
  readonly servers: readonly RedisServer[];
  readonly sentinels: readonly RedisProcess[];
  /** Returns the server that most sentinels now name as the master. */
  master(): Promise<RedisServer>;
  /** Waits until a server other than `former` is the master and accepts writes. */
  waitForFailover(former: RedisServer): Promise<RedisServer>;
  /** Makes the sentinels replace the master, although it is healthy. */
  replaceMaster(): Promise<void>;
  /** Waits until all servers follow the master. Returns the master and the number of its fail-over. */
  settled(): Promise<string>;
  /** Stops all servers; like `stop` of a single Redis. */
  stop(): Promise<void>;
}

/**
 * Starts a group on free ports of 127.0.0.1. Resolves when the replicas follow and the sentinels know each other.
 *
 * @param downAfterMs how long a server must be silent until its sentinels treat it as down
 */
export async function startSentinel({ downAfterMs = 1_000 } = {}): Promise<SentinelGroup> {
  const servers: RedisServer[] = [];
  const sentinels: RedisProcess[] = [];
  const dir = await mkdtemp(join(tmpdir(), "squelch-sentinel-"));

  async function master(): Promise<RedisServer> {
    const answers = await Promise.all(
      sentinels
        .filter(({ isAnswering }) => isAnswering)
        .map((sentinel) => sentinel.cli("SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER_NAME)),
    );
    const ports = answers.map((answer) => Number(answer.split("\n")[1]));
    const named = servers.map(({ port }) => ports.filter((other) => other === port).length);
    return servers[named.indexOf(Math.max(...named))] as RedisServer;
  }

  const group: SentinelGroup = {
    get url() {
      return `redis+sentinel://${sentinels.map(({ port }) => `127.0.0.1:${port}`).join(",")}/${MASTER_NAME}`;
    },
    servers,
    sentinels,
    master,
    waitForFailover: (former) =>
      waitFor(
        async () => {
          const now = await master();
          return now !== former && (await now.cli("ROLE")).startsWith("master") && now;
        },
        { timeoutMs: FAILOVER_TIMEOUT_MS, message: `another master than ${former.port}` },
      ),
    async replaceMaster() {
      await (sentinels[0] as RedisProcess).cli("SENTINEL", "FAILOVER", MASTER_NAME);
    },
    settled: () =>
      waitFor(
        async () => {
          const { port, cli } = await master();
          const others = servers.filter((server) => server.port !== port);
          const roles = await Promise.all([cli("ROLE"), ...others.map((other) => other.cli("ROLE"))]);
          const follows = `slave\n127.0.0.1\n${port}\nconnected`;
          if (!roles.every((role, index) => role.startsWith(index === 0 ? "master" : follows))) return undefined;
          const views = await Promise.all(sentinels.map(readEpoch));
          return new Set(views).size === 1 && `${port} since ${views[0]}`;
        },
        { timeoutMs: SETTLE_TIMEOUT_MS, message: "all servers to follow one master" },
      ),
    async stop() {
      await stopAll(sentinels);
      await stopAll(servers);
      await rm(dir, { recursive: true, force: true });
    },
  };

  try {
    // A server that ends does not wait for replicas that lag. A replica's first copy does not wait for other replicas.
    const args = ["--shutdown-timeout", "0", "--repl-diskless-sync-delay", "0"];
    const first = await startRedis({ args });
    servers.push(first);
    const replicaArgs = [...args, "--replicaof", "127.0.0.1", `${first.port}`];
    servers.push(...(await Promise.all([0, 1].map(() => startRedis({ args: replicaArgs })))));
    await waitFor(async () => (await first.cli("INFO", "replication")).match(/state=online/g)?.length === 2, {
      timeoutMs: START_TIMEOUT_MS,
      message: "two replicas",
    });
    sentinels.push(...(await startSentinels(dir, first.port, downAfterMs)));
    await waitFor(() => allKnowAll(sentinels), { timeoutMs: START_TIMEOUT_MS, message: "sentinels that know all" });
    return group;
  } catch (error) {
    await group.stop();
    throw error;
  }
}

// Each sentinel is given the others, so that it need not discover them.
async function startSentinels(dir: string, masterPort: number, downAfterMs: number): Promise<RedisProcess[]> {
  const ports = [await findFreePort(), await findFreePort(), await findFreePort()];
  const peers = ports.map((port) => ({ port, id: randomBytes(20).toString("hex") }));
  return Promise.all(
    peers.map(async ({ port, id }) => {
      const file = join(dir, `${port}.conf`);
      const others = peers.filter((peer) => peer.port !== port);
      const lines = [
        `port ${port}`,
        "bind 127.0.0.1",
        `dir ${dir}`,
        `sentinel myid ${id}`,
        `sentinel monitor ${MASTER_NAME} 127.0.0.1 ${masterPort} 2`,
        `sentinel down-after-milliseconds ${MASTER_NAME} ${downAfterMs}`,
        `sentinel failover-timeout ${MASTER_NAME} 4000`,
        ...others.map((peer) => `sentinel known-sentinel ${MASTER_NAME} 127.0.0.1 ${peer.port} ${peer.id}`),
      ];
      await writeFile(file, `${lines.join("\n")}\n`);
      return startRedisProcess({ port, args: [file, "--sentinel"], readyMark: "+monitor master" });
    }),
  );
}

// The number of the fail-over that made this server the master.
async function readEpoch(sentinel: RedisProcess): Promise<string> {
  const fields = (await sentinel.cli("SENTINEL", "MASTER", MASTER_NAME)).split("\n");
  return fields[fields.indexOf("config-epoch") + 1] as string;
}

async function allKnowAll(sentinels: readonly RedisProcess[]): Promise<boolean> {
  const states = await Promise.all(sentinels.map((sentinel) => sentinel.cli("INFO", "sentinel")));
  return states.every((state) => state.includes("status=ok,") && state.includes("slaves=2,sentinels=3"));
}
