import type { Position } from "../../../src/domain/cursor.js";
import type { Verdict } from "./reconcileModel.js";

/** A write, and its place in Redis's own order. */
export interface Write {
  kind: "published" | "rpc" | "sync" | "seed" | "reconciled";
  /** Where its message, or that of its ticket, stands among all that was ever published; a seed is before everything. */
  order: number;
  eventId: string;
  /** The channels of each user; a sync has [] for everybody else. */
  channelsOf: ReadonlyMap<string, readonly string[]>;
  position: Position;
}

/** What a reconcile made of a user. */
export interface Judgement {
  /** Of the reconcile's ticket. */
  order: number;
  /** How much had been published when it was made. */
  madeAt: number;
  userId: string;
  /** The events in which the user was known. */
  knownIn: readonly string[];
  verdict: Verdict;
  /** True if a membership was changed. */
  changes: boolean;
  /** How often Redis had lost data before. */
  losses: number;
}

/** What really happened, which no replica knows: the witness that the laws ask. */
export class History {
  /** Every write, those that Redis has lost too. */
  readonly writes: Write[] = [];
  readonly lost = new Set<Write>();
  /** What has been carried out on the data that Redis has now, whether or not it was refused. */
  executed: Write[] = [];
  /** Tickets of the reconciles that were carried out on the data that Redis has now. */
  reconciled: number[] = [];
  readonly judgements: Judgement[] = [];
  /** Users whose keys may be wrong for ever: recomputed twice at once, or while Redis lost data. */
  readonly unreliable = new Set<string>();
  /** How often Redis has lost data. */
  losses = 0;

  /** Everything since a copy was taken is lost. */
  loseSince(copy: { writes: number; executed: readonly Write[]; reconciled: readonly number[] }): void {
    for (const write of this.writes.slice(copy.writes)) this.lost.add(write);
    this.executed = [...copy.executed];
    this.reconciled = [...copy.reconciled];
    this.losses++;
  }

  copy() {
    return { writes: this.writes.length, executed: [...this.executed], reconciled: [...this.reconciled] };
  }
}

/** What a write says of a user, or undefined if nothing. */
export function channelsIn(write: Write, userId: string): readonly string[] | undefined {
  return write.channelsOf.get(userId) ?? (write.kind === "sync" ? [] : undefined);
}

/** The newest of the writes that say something of a user in an event. */
export function newestOf(writes: Iterable<Write>, eventId: string, userId: string): Write | undefined {
  let newest: Write | undefined;
  for (const write of writes) {
    if (write.eventId !== eventId || channelsIn(write, userId) === undefined) continue;
    if (newest === undefined || write.order > newest.order) newest = write;
  }
  return newest;
}
