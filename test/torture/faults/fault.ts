import type { Random } from "../random.js";
import type { Run } from "../run.js";
import type { Store } from "../stores/store.js";

/** Something that goes wrong, and stops going wrong. */
export interface Fault {
  /** The replicas and routers that may notice; they recover after `cease`. */
  parties: readonly string[];
  /** False if replicas hear all the same what is published. */
  isDeaf?: boolean;
  /** Set where Redis answers commands of replicas with errors from `inject` to `cease`. */
  refuses?: {
    replicas: readonly string[];
    /** Whether each write of theirs is refused. */
    isTotal: boolean;
    /** How soon afterwards they have to be ready again, ms; default 5,000. */
    readyAgainMs?: number;
    /** True if those who connect anew are not refused. */
    isOverForNewConnections?: boolean;
  };
  /** How long it takes to show, ms; a run may hold it for longer. */
  holdMs?: number;
  inject(): Promise<void> | void;
  cease(): Promise<void> | void;
}

/** Makes a fault for a fleet; what it hits is drawn by chance. */
export interface FaultKind<S extends Store = Store> {
  name: string;
  /** What only one fault may have at a time. */
  uses: "replica" | "redis" | "link" | "messages" | "refusal";
  /** True if no other fault may be held at the same time. */
  isAlone?: boolean;
  /** True if Redis forgets what it has accepted. */
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
