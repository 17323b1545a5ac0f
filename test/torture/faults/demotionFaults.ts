import type { StandaloneStore } from "../stores/standaloneStore.js";
import { type FaultKind, replicaNames } from "./fault.js";

/** How long the former master goes on as a replica: longer than a client that stays with it may be ready, ms. */
const DEMOTED_MS = 14_000;
/** How soon clients must have left the successor, once the first server is the master again, which takes a moment, ms. */
const LEFT_AGAIN_MS = 8_000;

/** The effect of a load balancer, or of a name that leads elsewhere, on open connections. */
export const DEMOTION_FAULTS: readonly FaultKind<StandaloneStore>[] = [
  {
    name: "Redis becomes a replica, and new connections lead to its successor",
    uses: "redis",
    isAlone: true,
    create: (run) => {
      const { store, controlPlanes } = run.fleet;
      return {
        parties: replicaNames(run),
        refuses: {
          ...{ replicas: replicaNames(run), isTotal: true, isOverForNewConnections: true },
          readyAgainMs: LEFT_AGAIN_MS,
        },
        holdMs: DEMOTED_MS,
        inject: () => store.handOver(controlPlanes),
        cease: () => store.takeBack(controlPlanes),
      };
    },
  },
];
