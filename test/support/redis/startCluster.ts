import { findFreePort } from "../childProcess.js";
import { stopAll } from "../stopAll.js";
import { waitFor } from "../waitFor.js";
import { onFreePort } from "./redisProcess.js";
import { type RedisServer, startRedis } from "./startRedis.js";

const SHARDS = 3;
const SLOTS = 16_384;
const START_TIMEOUT_MS = 20_000;
const FAILOVER_TIMEOUT_MS = 20_000;

/** A Redis Cluster of three masters. */
export interface RedisCluster {
  /** `redis+cluster://` with all nodes. */
  readonly url: string;
  /** All nodes, in no fixed order. */
  readonly nodes: readonly RedisServer[];
  /** Returns the node that currently serves the keys of an event, or of another hash tag. */
  masterOf(eventId: string): Promise<RedisServer>;
  /** Event ids, new ones at each call, one on each shard in the order of the slots. */
  spreadEventIds(): Promise<string[]>;
  /** Waits until a node other than `former` serves the event and the whole cluster is healthy again. */
  waitForFailover(eventId: string, former: RedisServer): Promise<RedisServer>;
  /** Waits until the whole cluster is healthy. Returns which node serves which slots, and since which fail-over. */
  settled(): Promise<string>;
  /** Stops all servers; like `stop` of a single Redis. */
  stop(): Promise<void>;
}

interface NodeView {
  port: number;
  isMaster: boolean;
  /** The number of the fail-over that made it a master. */
  epoch: number;
  slots: [first: number, last: number][];
}

/**
 * Starts a Cluster on free ports of 127.0.0.1. Resolves when all nodes agree and the replicas follow.
 *
 * @param nodeTimeoutMs how long a node must be silent until the others treat it as down
 * @param replicas the number for each master: 1, or 0 if no server fails
 */
export async function startCluster({ nodeTimeoutMs = 1_500, replicas = 1 } = {}): Promise<RedisCluster> {
  const nodes: RedisServer[] = [];
  let freshCount = 0;

  async function serving(slot: number): Promise<RedisServer> {
    // The other nodes overrule nodes that no longer answer or are outdated.
    const views = await Promise.all(nodes.filter(({ isAnswering }) => isAnswering).map(readView));
    const ports = views.map((view) => view.find(({ slots }) => slots.some(([a, b]) => a <= slot && slot <= b))?.port);
    const votes = nodes.map(({ port }) => ports.filter((other) => other === port).length);
    return nodes[votes.indexOf(Math.max(...votes))] as RedisServer;
  }

  async function slotOf(eventId: string): Promise<number> {
    const node = nodes.find(({ isAnswering }) => isAnswering);
    if (node === undefined) throw new Error("No node of the cluster is running");
    return Number(await node.cli("CLUSTER", "KEYSLOT", `{${eventId}}`));
  }

  const cluster: RedisCluster = {
    get url() {
      return `redis+cluster://${nodes.map(({ port }) => `127.0.0.1:${port}`).join(",")}`;
    },
    nodes,
    masterOf: async (eventId) => serving(await slotOf(eventId)),
    async spreadEventIds() {
      const byShard = new Map<number, string>();
      while (byShard.size < SHARDS) {
        const eventId = `event-${++freshCount}`;
        const shard = Math.floor((await slotOf(eventId)) / (SLOTS / SHARDS));
        byShard.set(shard, byShard.get(shard) ?? eventId);
      }
      return [...byShard].sort(([a], [b]) => a - b).map(([, eventId]) => eventId);
    },
    async waitForFailover(eventId, former) {
      const slot = await slotOf(eventId);
      return waitFor(
        async () => {
          const now = await serving(slot);
          return now !== former && (await areWell(nodes)) && now;
        },
        { timeoutMs: FAILOVER_TIMEOUT_MS, message: `another node than ${former.port} for slot ${slot}` },
      );
    },
    settled: () =>
      waitFor(
        async () => {
          if (!(await areWell(nodes))) return undefined;
          const views = await Promise.all(nodes.map(readView));
          const masters = (views[0] as NodeView[]).filter(({ isMaster }) => isMaster).sort(byPort);
          return masters.map(({ port, epoch }) => `${port} since ${epoch}`).join();
        },
        { timeoutMs: FAILOVER_TIMEOUT_MS, message: "a cluster that is well" },
      ),
    stop: () => stopAll(nodes),
  };

  try {
    nodes.push(...(await Promise.all(Array.from({ length: SHARDS * (1 + replicas) }, () => startNode(nodeTimeoutMs)))));
    await join(nodes);
    return cluster;
  } catch (error) {
    await cluster.stop();
    throw error;
  }
}

function startNode(nodeTimeoutMs: number): Promise<RedisServer> {
  return onFreePort(async (port) => {
    const busPort = await findFreePort();
    const args = [
      ["--cluster-enabled", "yes", "--cluster-port", `${busPort}`, "--cluster-node-timeout", `${nodeTimeoutMs}`],
      // A server that ends does not wait for replicas that lag. A replica's first copy does not wait for other replicas.
      ["--shutdown-timeout", "0", "--repl-diskless-sync-delay", "0"],
    ];
    return startRedis({ port, args: args.flat() });
  });
}

async function join(nodes: readonly RedisServer[]): Promise<void> {
  const masters = nodes.slice(0, SHARDS);
  const replicas = nodes.slice(SHARDS);
  const [first, ...others] = nodes as [RedisServer, ...RedisServer[]];
  await Promise.all(
    masters.map(async (master, index) => {
      const bound = (shard: number) => Math.ceil((shard * SLOTS) / SHARDS);
      await master.cli("CLUSTER", "ADDSLOTSRANGE", `${bound(index)}`, `${bound(index + 1) - 1}`);
      await master.cli("CLUSTER", "SET-CONFIG-EPOCH", `${index + 1}`);
    }),
  );
  for (const { port, cli } of others) {
    const busPort = (await cli("CONFIG", "GET", "cluster-port")).split("\n")[1] as string;
    await first.cli("CLUSTER", "MEET", "127.0.0.1", `${port}`, busPort);
  }
  await waitFor(async () => (await Promise.all(nodes.map(readView))).every((view) => view.length === nodes.length), {
    timeoutMs: START_TIMEOUT_MS,
    message: "the nodes to meet",
  });
  await Promise.all(
    replicas.map(async (replica, index) => {
      const masterId = await (masters[index] as RedisServer).cli("CLUSTER", "MYID");
      await replica.cli("CLUSTER", "REPLICATE", masterId);
    }),
  );
  await waitFor(() => areWell(nodes), { timeoutMs: START_TIMEOUT_MS, message: "a cluster that is well" });
}

// True if the nodes that answer agree on the masters, and every slot is served, and replicated if a replica is left.
async function areWell(nodes: readonly RedisServer[]): Promise<boolean> {
  const answering = nodes.filter(({ isAnswering }) => isAnswering);
  const views = await Promise.all(answering.map(readView));
  const masters = new Set(views.map((view) => JSON.stringify(view.filter(({ isMaster }) => isMaster).sort(byPort))));
  if (masters.size !== 1) return false;
  const states = await Promise.all(
    answering.map(async ({ cli }) => `${await cli("CLUSTER", "INFO")}\n${await cli("INFO", "replication")}`),
  );
  return states.every((state) => state.includes("cluster_state:ok") && !state.includes("master_link_status:down"));
}

function byPort(a: NodeView, b: NodeView): number {
  return a.port - b.port;
}

// The nodes that one node believes to be up.
async function readView({ cli }: RedisServer): Promise<NodeView[]> {
  const lines = (await cli("CLUSTER", "NODES")).split("\n");
  return lines.flatMap((line) => {
    const [, address = "", flags = "", , , , epoch, , ...ranges] = line.split(" ");
    if (/fail|handshake|noaddr/.test(flags)) return [];
    const slots = ranges
      .filter((range) => !range.startsWith("["))
      .map((range) => {
        const [from, to = from] = range.split("-");
        return [Number(from), Number(to)] as [number, number];
      });
    const port = Number(/:(\d+)@/.exec(address)?.[1]);
    return [{ port, isMaster: flags.includes("master"), epoch: Number(epoch), slots }];
  });
}
