import type { RedisServer } from "../../support/redis/startRedis.js";
import type { SentinelGroup } from "../../support/redis/startSentinel.js";
import type { Run } from "../run.js";
import type { ClusterStore } from "../stores/clusterStore.js";
import type { SentinelStore } from "../stores/sentinelStore.js";
import { type Fault, type FaultKind, replicaNames } from "./fault.js";

/** Replication is asynchronous: writes that were accepted within this time before may be lost, ms. */
const LOST_TAIL_MS = 1_000;

/** How a server is lost, and how it returns. */
interface Loss {
  inflict(server: RedisServer): Promise<void>;
  undo(server: RedisServer): Promise<void>;
}

const kill: Loss = { inflict: (server) => server.kill("SIGKILL"), undo: (server) => server.restart() };
const hang: Loss = { inflict: async (server) => server.pause(), undo: async (server) => server.resume() };

// The lost server returns after another one was promoted. It acts as the master until it is demoted, and the
// writes that it accepts until then are lost.
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
      // Some replicas may find the successor at once, so no replica has to report a failure.
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

/** Faults of a Sentinel group. */
export const SENTINEL_FAULTS: readonly FaultKind<SentinelStore>[] = [
  sentinelFault("Sentinel's master is killed", () => kill),
  sentinelFault("Sentinel's master hangs", () => hang),
  // Until the old master is demoted, clients that do not know its successor write to it.
  sentinelFault("Sentinel's master is replaced while it is well", (group) => ({
    inflict: () => group.replaceMaster(),
    undo: async () => undefined,
  })),
];

/** Faults of a Cluster. Messages are published on another Redis, so no replica misses them. */
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
