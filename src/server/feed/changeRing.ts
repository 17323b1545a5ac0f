import { type Change, concernedUser } from "../../domain/change.js";
import { encodeChange } from "./wire/encodeChange.js";

/** The most changes that a ring keeps. */
export const MAX_RING_CHANGES = 8_192;
/** The most bytes of encoded changes that a ring keeps, beyond the newest change. */
export const MAX_RING_BYTES = 8 << 20;

interface RingEntry {
  /** The encoded change, a part of a batch. */
  bytes: Uint8Array;
  /** The only user whom it concerns; undefined if it concerns everybody. */
  userId: string | undefined;
}

/** Consecutive changes out of a ring. */
export interface RingSlice {
  parts: Uint8Array[];
  bytes: number;
  /** The revision up to which the slice goes, also where a filter left the last ones out. */
  revision: number;
}

/** The latest changes of an event, already encoded, contiguous by revision. The oldest make room for new ones. */
export class ChangeRing {
  // Entries before #start have been dropped and wait for the array to be compacted.
  #entries: (RingEntry | undefined)[] = [];
  #start = 0;
  #bytes = 0;
  #head = 0;

  /** The revision of the newest change. */
  get head(): number {
    return this.#head;
  }

  /** The lowest revision after which the ring has every change. */
  get reach(): number {
    return this.#head - this.#length;
  }

  get #length(): number {
    return this.#entries.length - this.#start;
  }

  /** True if the ring could be extended back to that revision, as far as its bounds tell. */
  canReach(revision: number): boolean {
    const missing = this.reach - revision;
    return missing > 0 && this.#length + missing <= MAX_RING_CHANGES && this.#bytes < MAX_RING_BYTES;
  }

  /** Forgets all changes; the next one follows `head`. */
  reset(head: number): void {
    this.#entries = [];
    this.#start = 0;
    this.#bytes = 0;
    this.#head = head;
  }

  push(change: Change): void {
    const entry = toEntry(change);
    this.#entries.push(entry);
    this.#bytes += entry.bytes.length;
    this.#head = change.revision;
    while (this.#length > 1 && (this.#length > MAX_RING_CHANGES || this.#bytes > MAX_RING_BYTES)) this.#drop();
  }

  /** Puts changes that end at `reach` before the oldest, as far as there is room. */
  extendBack(changes: readonly Change[]): void {
    const older: RingEntry[] = [];
    for (const change of changes.toReversed()) {
      const entry = toEntry(change);
      const hasRoom =
        this.#length + older.length < MAX_RING_CHANGES && this.#bytes + entry.bytes.length <= MAX_RING_BYTES;
      if (change.revision !== this.reach - older.length || !hasRoom) break;
      older.push(entry);
      this.#bytes += entry.bytes.length;
    }
    this.#entries = [...older.reverse(), ...this.#entries.slice(this.#start)];
    this.#start = 0;
  }

  /**
   * The changes after `revision`, which is not below `reach`: as many as fit into `maxBytes`, at least one.
   *
   * @param userIds if given, changes that concern another single user are left out
   */
  sliceAfter(revision: number, maxBytes: number, userIds?: ReadonlySet<string>): RingSlice {
    const slice: RingSlice = { parts: [], bytes: 0, revision };
    for (let index = this.#start + revision - this.reach; index < this.#entries.length; index++) {
      const { bytes, userId } = this.#entries[index] as RingEntry;
      const isWanted = userIds === undefined || userId === undefined || userIds.has(userId);
      if (isWanted) {
        if (slice.parts.length > 0 && slice.bytes + bytes.length > maxBytes) break;
        slice.parts.push(bytes);
        slice.bytes += bytes.length;
      }
      slice.revision++;
    }
    return slice;
  }

  #drop(): void {
    this.#bytes -= this.#entries[this.#start]?.bytes.length ?? 0;
    this.#entries[this.#start++] = undefined;
    if (this.#start > 1_024 && this.#start > this.#entries.length / 2) {
      this.#entries = this.#entries.slice(this.#start);
      this.#start = 0;
    }
  }
}

function toEntry(change: Change): RingEntry {
  return { bytes: encodeChange(change), userId: concernedUser(change) };
}
