import type { StandaloneStore } from "../stores/standaloneStore.js";
import { type FaultKind, replicaNames } from "./fault.js";

/** How long the former master stays a replica: longer than a client that stays with it may report to be ready, ms. */
const DEMOTED_MS = 14_000;

/** Faults in which a load balancer, or a changed name, leads to another server while connections are open. */
export const DEMOTION_FAULTS: readonly FaultKind<StandaloneStore>[] = [
  {
    name: "Redis becomes a replica, and new connections lead to its successor",
    uses: "redis",
    isAlone: true,
    create: (run) => {
      const { store, controlPlanes } = run.fleet;
      return {
        parties: replicaNames(run),
        refuses: { replicas: replicaNames(run), isTotal: true, isOverForNewConnections: true },
        holdMs: DEMOTED_MS,
        inject: () => store.handOver(controlPlanes),
        cease: () => store.takeBack(controlPlanes),
      };
    },
  },
];
