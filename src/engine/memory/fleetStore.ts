import { REPLICA_SILENCE_MS } from "../../domain/fleet.js";
import type { FleetStore } from "../../domain/ports/fleetStore.js";
import type { MemoryState } from "./state.js";

export function createFleetStore(state: MemoryState): FleetStore {
  return {
    async noteReplica(report) {
      state.replicas.set(report.replicaId, { ...report, seenMs: state.now() });
    },

    async forgetReplica(replicaId) {
      state.replicas.delete(replicaId);
    },

    async readReplicas() {
      const nowMs = state.now();
      for (const { replicaId, seenMs } of state.replicas.values()) {
        if (seenMs + REPLICA_SILENCE_MS <= nowMs) state.replicas.delete(replicaId);
      }
      return { nowMs, replicas: [...state.replicas.values()] };
    },
  };
}
