import type { ReplicaReport, Replicas } from "../fleet.js";

/** The replicas of the fleet. The store forgets a replica 15 s after its last report. */
export interface FleetStore {
  noteReplica(report: ReplicaReport): Promise<void>;
  /** Removes a replica that is leaving. Does nothing if the replica is unknown. */
  forgetReplica(replicaId: string): Promise<void>;
  /** Returns the replicas that have reported lately, in any order. */
  readReplicas(): Promise<Replicas>;
}
