import type { RedisServer } from "../../support/redis/startRedis.js";
import type { SentinelGroup } from "../../support/redis/startSentinel.js";
import type { Run } from "../run.js";
import type { ClusterStore } from "../stores/clusterStore.js";
import type { SentinelStore } from "../stores/sentinelStore.js";
import { type Fault, type FaultKind, replicaNames } from "./fault.js";

/** Replication is asynchronous: what was accepted so shortly before may be lost, ms. */
const LOST_TAIL_MS = 1_000;

/** How a server is lost, and how it comes back. */
interface Loss {
  inflict(server: RedisServer): Promise<void>;
  undo(server: RedisServer): Promise<void>;
}

const kill: Loss = { inflict: (server) => server.kill("SIGKILL"), undo: (server) => server.restart() };
const hang: Loss = { inflict: async (server) => server.pause(), undo: async (server) => server.resume() };

// The server that was lost comes back when another has taken its place, takes itself for the master until it is told, and
// what it accepts until then is lost.
function masterLost(
  run: Run,
  { inflict, undo }: Loss,
  find: () => Promise<RedisServer>,
  successor: (former: RedisServer) => Promise<unknown>,
): Fault {
  let former: RedisServer | undefined;
  let backTo = 0;
  let endOutage = () => {};
  return {
    parties: replicaNames(run),
    async inject() {
      await run.fleet.store.noteFailovers();
      former = await find();
      backTo = run.fleet.witness.orderBefore(LOST_TAIL_MS);
      // Some replicas may find the successor at once: nobody has to say that all is not well.
      endOutage = run.beginOutage(Number.POSITIVE_INFINITY);
      await inflict(former);
    },
    async cease() {
      if (former === undefined) return;
      await successor(former);
      endOutage();
      await undo(former);
      await run.fleet.store.noteFailovers(backTo);
    },
  };
}

function sentinelFault(name: string, lossOf: (group: SentinelGroup) => Loss): FaultKind<SentinelStore> {
  return {
    name,
    uses: "redis",
    create: (run) => {
      const { group } = run.fleet.store;
      return masterLost(
        run,
        lossOf(group),
        () => group.master(),
        (former) => group.waitForFailover(former),
      );
    },
  };
}

/** What happens to a Sentinel group. */
export const SENTINEL_FAULTS: readonly FaultKind<SentinelStore>[] = [
  sentinelFault("Sentinel's master is killed", () => kill),
  sentinelFault("Sentinel's master hangs", () => hang),
  // Until it is told, clients that have not heard of its successor write to it.
  sentinelFault("Sentinel's master is replaced while it is well", (group) => ({
    inflict: () => group.replaceMaster(),
    undo: async () => undefined,
  })),
];

/** What happens to a Cluster. Another Redis takes what is published, so that nobody misses it. */
export const CLUSTER_FAULTS: readonly FaultKind<ClusterStore>[] = [
  {
    name: "a master of the Cluster is killed",
    uses: "redis",
    create: (run, random) => {
      const { cluster } = run.fleet.store;
      const eventId = random.pick(run.world.eventIds);
      const find = () => cluster.masterOf(eventId);
      const fault = masterLost(run, kill, find, (former) => cluster.waitForFailover(eventId, former));
      return { ...fault, isDeaf: false };
    },
  },
];
