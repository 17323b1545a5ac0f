import type { Redis } from "ioredis";
import type { Witness } from "../record/witness.js";

/** What keeps a fleet's state: one Redis or several. */
export interface Store {
  readonly witness: Witness;
  /** Whether the log and the control plane's messages have one order that the witness knows. */
  readonly isOrdered: boolean;
  /** Flags of a replica, and what stands between it and Redis. */
  replicaArgs(name: string): Promise<readonly string[]>;
  /** A control plane's connection to where it publishes. */
  connect(name: string): Promise<Redis>;
  /** Told that a fleet is at rest, and how much has passed through Redis. */
  noteRest(witnessed: number): Promise<void>;
  /** As `note` of a {@link FailoverWatch}; false where nothing fails over. */
  noteFailovers(backTo?: number): Promise<boolean>;
  /** Ends all faults. */
  heal(): void;
  /** Stops everything. Replicas and control planes have let go of it. */
  stop(): Promise<void>;
}

/** What a control plane's connection is like, whatever it is to. */
export const CONTROL_PLANE_OPTIONS = {
  enableOfflineQueue: false,
  autoResendUnfulfilledCommands: false,
  retryStrategy: () => 50,
} as const;
