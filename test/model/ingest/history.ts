import type { Position } from "../../../src/domain/cursor.js";
import type { Verdict } from "./reconcileModel.js";

/** A write, and its place in Redis's own order. */
export interface Write {
  kind: "published" | "rpc" | "sync" | "seed" | "reconciled";
  /**
   * The place of its message, or of its ticket's message, among all that were published. A seed is before everything.
   */
  order: number;
  eventId: string;
  /** The channels of each user. A sync has an empty list for every other user. */
  channelsOf: ReadonlyMap<string, readonly string[]>;
  position: Position;
}

/** The decision of a reconcile about a user. */
export interface Judgement {
  /** The place of the reconcile's ticket. */
  order: number;
  /** The number of messages that had been published when it was made. */
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

/** A record of what really happened. The laws read it; no replica knows it. */
export class History {
  /** Every write, including those that Redis has lost. */
  readonly writes: Write[] = [];
  readonly lost = new Set<Write>();
  /** The writes that were executed on Redis's current data, whether or not they were rejected. */
  executed: Write[] = [];
  /** Tickets of the reconciles that were executed on Redis's current data. */
  reconciled: number[] = [];
  readonly judgements: Judgement[] = [];
  /** Users whose keys may stay wrong: they were recomputed twice at once, or while Redis lost data. */
  readonly unreliable = new Set<string>();
  /** How often Redis has lost data. */
  losses = 0;

  /** Forgets everything since a copy was made. */
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

/** Returns the channels that a write gives a user; undefined if it does not concern the user. */
export function channelsIn(write: Write, userId: string): readonly string[] | undefined {
  return write.channelsOf.get(userId) ?? (write.kind === "sync" ? [] : undefined);
}

/** Returns the newest of the writes that concern a user in an event. */
export function newestOf(writes: Iterable<Write>, eventId: string, userId: string): Write | undefined {
  let newest: Write | undefined;
  for (const write of writes) {
    if (write.eventId !== eventId || channelsIn(write, userId) === undefined) continue;
    if (newest === undefined || write.order > newest.order) newest = write;
  }
  return newest;
}
