import { type KnownReplica, REPLICA_SILENCE_MS } from "../../../domain/fleet.js";
import type { FleetStore } from "../../../domain/ports/fleetStore.js";
import { REPLICAS } from "../keys.js";
import type { RunScript } from "../scripts/scripts.js";

/** {@link FleetStore} on Redis: one hash for all replicas. */
export function createFleetStore(run: RunScript): FleetStore {
  return {
    async noteReplica({ replicaId, ...report }) {
      await run("note-replica", [REPLICAS], [replicaId, REPLICA_SILENCE_MS, JSON.stringify(report)]);
    },

    async forgetReplica(replicaId) {
      await run("note-replica", [REPLICAS], [replicaId, REPLICA_SILENCE_MS, ""]);
    },

    async readReplicas() {
      const [nowMs, entries] = (await run("read-replicas", [REPLICAS], [])) as [number, string[]];
      const replicas: KnownReplica[] = [];
      for (let index = 0; index < entries.length; index += 3) {
        const [replicaId = "", seenMs, report = ""] = entries.slice(index, index + 3);
        const known = { ...(JSON.parse(report) as Omit<KnownReplica, "replicaId" | "seenMs">), replicaId };
        if (Number(seenMs) + REPLICA_SILENCE_MS > nowMs) replicas.push({ ...known, seenMs: Number(seenMs) });
      }
      return { nowMs, replicas };
    },
  };
}
