import type { StandaloneStore } from "../stores/standaloneStore.js";
import { type FaultKind, replicaNames } from "./fault.js";

/** How long the former master goes on as a replica: longer than clients may stay with it, ms. */
const DEMOTED_MS = 8_000;

/** What a load balancer, or a name that leads elsewhere, does to connections that stand. */
export const DEMOTION_FAULTS: readonly FaultKind<StandaloneStore>[] = [
  {
    name: "Redis becomes a replica, and new connections lead to its successor",
    uses: "redis",
    isAlone: true,
    create: (run) => {
      const { store, controlPlanes } = run.fleet;
      return {
        parties: replicaNames(run),
        refuses: { replicas: replicaNames(run), isTotal: false, isOverForNewConnections: true },
        holdMs: DEMOTED_MS,
        inject: () => store.handOver(controlPlanes),
        cease: () => store.takeBack(controlPlanes),
      };
    },
  },
];
