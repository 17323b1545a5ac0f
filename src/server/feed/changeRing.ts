import { type Change, concernedUser } from "../../domain/change.js";
import { encodeChange } from "./wire/encodeChange.js";

/** The most changes that a ring keeps. */
export const MAX_RING_CHANGES = 8_192;
/** The most bytes of encoded changes that a ring keeps. The newest change is kept even if it alone is larger. */
export const MAX_RING_BYTES = 8 << 20;

interface RingEntry {
  /** The encoded change. Encoded changes concatenated after a header make a batch. */
  bytes: Uint8Array;
  /** The only user whom the change concerns; undefined if it concerns all users. */
  userId: string | undefined;
}

/** Encoded changes from a range of revisions of a ring. */
export interface RingSlice {
  parts: Uint8Array[];
  bytes: number;
  /** The last revision of the range, even if a filter removed its change from the slice. */
  revision: number;
}

/** The latest changes of an event, already encoded, contiguous by revision. New changes replace the oldest. */
export class ChangeRing {
  // Entries before #start are dropped. They stay in the array until it is compacted.
  #entries: (RingEntry | undefined)[] = [];
  #start = 0;
  #bytes = 0;
  #head = 0;

  /** The revision of the newest change. */
  get head(): number {
    return this.#head;
  }

  /** The lowest revision that a reader can continue from: the ring has every change after it. */
  get reach(): number {
    return this.#head - this.#length;
  }

  get #length(): number {
    return this.#entries.length - this.#start;
  }

  /** True if the ring is short of `revision` and its bounds leave room to extend it back that far. */
  canReach(revision: number): boolean {
    const missing = this.reach - revision;
    return missing > 0 && this.#length + missing <= MAX_RING_CHANGES && this.#bytes < MAX_RING_BYTES;
  }

  /** Removes all changes. The next change to be pushed has the revision after `head`. */
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

  /** Adds older changes, the last of which has the revision `reach`. Adds as many of them as there is room for. */
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
   * Returns the changes after `revision` that fit into `maxBytes`; at least one, even if it is larger.
   *
   * @param revision not below `reach`
   * @param userIds if given, leaves out changes that concern only a user who is not in the set
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
