import type { Redis } from "ioredis";
import type { Witness } from "../record/witness.js";

/** The Redis servers that hold a fleet's state: one or several. */
export interface Store {
  readonly witness: Witness;
  /** True if the log and the control plane's messages have one order that the witness knows. */
  readonly isOrdered: boolean;
  /** Flags of a replica, and what stands between it and Redis. */
  replicaArgs(name: string): Promise<readonly string[]>;
  /** A control plane's connection to where it publishes. */
  connect(name: string): Promise<Redis>;
  /** Called when a fleet is at rest, with the number of records so far. */
  noteRest(witnessed: number): Promise<void>;
  /** See `note` of {@link FailoverWatch}. It resolves with false if no server can fail over. */
  noteFailovers(backTo?: number): Promise<boolean>;
  /** Ends all faults. */
  heal(): void;
  /** Stops everything. Replicas and control planes must be disconnected before. */
  stop(): Promise<void>;
}

/** The options of a control plane's connection to any server. */
export const CONTROL_PLANE_OPTIONS = {
  enableOfflineQueue: false,
  autoResendUnfulfilledCommands: false,
  retryStrategy: () => 50,
} as const;
