import type { Random } from "../random.js";
import type { Run } from "../run.js";
import type { Store } from "../stores/store.js";

/** Something that goes wrong, and stops going wrong. */
export interface Fault {
  /** The replicas and routers that may notice; they recover after `cease`. */
  parties: readonly string[];
  /** False if replicas hear all the same what is published. */
  isDeaf?: boolean;
  /** How long it takes to show, ms; a run may hold it for longer. */
  holdMs?: number;
  inject(): Promise<void> | void;
  cease(): Promise<void> | void;
}

/** Makes a fault for a fleet; what it hits is drawn by chance. */
export interface FaultKind<S extends Store = Store> {
  name: string;
  /** What only one fault may have at a time. */
  uses: "replica" | "redis" | "link" | "messages";
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
