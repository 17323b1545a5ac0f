import type { Random } from "../random.js";
import type { Run } from "../run.js";
import type { Store } from "../stores/store.js";

/** A failure that can be started and ended. */
export interface Fault {
  /** The replicas and routers that may notice; they recover after `cease`. */
  parties: readonly string[];
  /** False if replicas still receive all published messages. */
  isDeaf?: boolean;
  /** Set if Redis answers commands of replicas with errors between `inject` and `cease`. */
  refuses?: {
    replicas: readonly string[];
    /** True if each write of these replicas is rejected. */
    isTotal: boolean;
    /** True if Redis accepts commands on new connections. */
    isOverForNewConnections?: boolean;
  };
  /** The time until the effect is visible, ms. A run may hold the fault for longer. */
  holdMs?: number;
  inject(): Promise<void> | void;
  cease(): Promise<void> | void;
}

/** Creates a fault for a fleet. Its targets are chosen at random. */
export interface FaultKind<S extends Store = Store> {
  name: string;
  /** The resource of the fault; only one fault may use it at a time. */
  uses: "replica" | "redis" | "link" | "messages" | "refusal";
  /** True if no other fault may be active at the same time. */
  isAlone?: boolean;
  /** True if Redis loses writes that it has accepted. */
  losesData?: boolean;
  create(run: Run<S>, random: Random): Fault;
}

/** The names of all replicas. */
export function replicaNames({ fleet }: Run): string[] {
  return fleet.replicas.map(({ name }) => name);
}

/** The names of all routers. */
export function routerNames({ fleet }: Run): string[] {
  return fleet.routers.map(({ name }) => name);
}
