import { channelsIn, ownerOf } from "../load/world.js";
import type { History, Rest, Write } from "./history.js";

/** The longest time until a replica applies a message that it received, ms. */
const APPLY_MS = 2_000;

/** A write and its place in Redis's order: that of its message, or for a call that of its entry, which has its ticket. */
export interface PlacedWrite extends Place {
  write: Write;
}

interface Place {
  order: number;
  at: number;
  /** True if Redis may have lost the write, or has lost the set with its content. */
  isDoubtful: boolean;
}

/** The channels that the store may hold for one user of one event. */
interface Expectation {
  /** The newest write that Redis keeps; undefined if there is none. */
  newest: PlacedWrite | undefined;
  /** The channels if no message was missed; undefined means no entry. */
  channels: string | undefined;
  /**
   * Other channels that are allowed because no replica may have received the newest write and the control plane's set
   * does not contain it; empty if there are none.
   */
  alternatives: Set<string | undefined>;
}

/** Knows Redis's order of all writes, and so the expected final state. */
export class Order {
  readonly #history: History;
  /** The writes that Redis keeps, ascending, for each user of each event. */
  readonly #writesOf = new Map<string, PlacedWrite[]>();
  /** The last published write of each user and event. */
  readonly #lastPublished = new Map<string, Map<string, number>>();
  /** Writes that were answered but left no record: empty ones that changed nothing. */
  readonly #unplaced: Write[] = [];

  /** @param until how many of the witness's records count */
  constructor(history: History, until: number) {
    this.#history = history;
    const placed = placeWrites(history, until);
    for (const [index, write] of [...history.writes.values()].entries()) {
      if (write.path === "published") this.#notePublished(write, index);
      const place = placed.get(write.id);
      if (place === undefined) {
        if (write.answer?.ok) this.#unplaced.push(write);
        continue;
      }
      for (const userId of this.#usersIn(write)) this.#listOf(write.eventId, userId).push({ write, ...place });
    }
    for (const list of this.#writesOf.values()) list.sort((a, b) => a.order - b.order);
  }

  expect(eventId: string, userId: string, keys: Rest["keys"]): Expectation {
    const writes = this.#listOf(eventId, userId);
    const newest = writes.at(-1);
    const channels = newest && contentFor(newest.write, userId);
    const alternatives = new Set<string | undefined>();
    for (const write of this.#unplaced) {
      if (write.eventId === eventId && write.channelsOf.has(userId)) alternatives.add(contentFor(write, userId));
    }
    for (let last = writes.length - 1; writes[last]?.isDoubtful; last--) {
      const before = writes[last - 1];
      alternatives.add(before && contentFor(before.write, userId));
    }
    if (newest?.write.path === "published" && this.#isLaterElsewhere(eventId, userId)) alternatives.add("");
    const isOnlyPublished = writes.every(({ write }) => write.path === "published");
    const isInKey = isOnlyPublished && channels !== "" && speaksFor(eventId, keys.get(userId) ?? "");
    if (newest?.write.path === "published" && !isInKey && !this.wasReceived(newest.at)) {
      for (const { write } of writes) alternatives.add(contentFor(write, userId));
      alternatives.add(undefined);
    }
    return { newest, channels, alternatives };
  }

  /** Returns true if these channels are allowed; undefined means no entry. */
  allows(eventId: string, userId: string, keys: Rest["keys"], stored: string | undefined): boolean {
    const { channels, alternatives } = this.expect(eventId, userId, keys);
    return (stored ?? "") === (channels ?? "") || alternatives.has(stored);
  }

  /**
   * True if at least one replica was subscribed during the whole time in which a message published then is applied.
   * While Redis rejects writes, the message waits in the replicas.
   */
  wasReceived(at: number): boolean {
    let until = at + APPLY_MS;
    for (const { from, to } of this.#history.refusals) {
      if (from <= until && to >= at) until = Math.max(until, to + APPLY_MS);
    }
    return !allDeaf(this.#history, at, until);
  }

  // An absent set concerns the only event in which the user is known. It does so even if it was emptied for another
  // event that no replica knows yet: a reconcile cannot see that.
  #isLaterElsewhere(eventId: string, userId: string): boolean {
    const lastHere = this.#lastPublished.get(userId)?.get(eventId) ?? 0;
    return [...(this.#lastPublished.get(userId)?.values() ?? [])].some((last) => last > lastHere);
  }

  #notePublished({ eventId, channelsOf }: Write, index: number): void {
    for (const userId of channelsOf.keys()) {
      const lastByEvent = this.#lastPublished.get(userId) ?? new Map<string, number>();
      this.#lastPublished.set(userId, lastByEvent.set(eventId, index));
    }
  }

  #listOf(eventId: string, userId: string): PlacedWrite[] {
    const key = `${eventId} ${userId}`;
    const list = this.#writesOf.get(key) ?? [];
    this.#writesOf.set(key, list);
    return list;
  }

  // A sync concerns all users that the event has ever had.
  #usersIn(write: Write): Iterable<string> {
    if (write.path !== "sync") return write.channelsOf.keys();
    const users = new Set(write.channelsOf.keys());
    for (const other of this.#history.writes.values()) {
      if (other.eventId === write.eventId) for (const userId of other.channelsOf.keys()) users.add(userId);
    }
    return users;
  }
}

/** Returns the channels that a write gives to a user of its event. */
function contentFor(write: Write, userId: string): string {
  return write.channelsOf.get(userId) ?? "";
}

/** True if no replica was subscribed for the whole of that time. */
export function allDeaf({ replicas, troubles }: History, from: number, to: number): boolean {
  return replicas.every((replica) =>
    troubles.some((trouble) => trouble.isDeaf && trouble.party === replica && trouble.from <= to && trouble.to >= from),
  );
}

// True if a set of the control plane shows unambiguously which channels the user has in the event.
function speaksFor(eventId: string, key: string): boolean {
  const owners = new Set(channelsIn(key).map(ownerOf));
  return owners.size === 1 && owners.has(eventId);
}

function placeWrites({ writes, witnessed }: History, until: number): Map<string, Place> {
  const placed = new Map<string, Place>();
  const isLost = new Set<string>();
  for (const [order, record] of witnessed.slice(0, until).entries()) {
    if (record.kind === "lost") {
      for (const [id, place] of placed) {
        if (place.order < record.backTo) continue;
        if (record.isCertain) isLost.add(id);
        else place.isDoubtful = true;
      }
      continue;
    }
    const id = record.kind === "published" ? record.writeId : record.entry.writeId;
    if (id === undefined) continue;
    const isPlace = record.kind === "published" || writes.get(id)?.path !== "published";
    const place = placed.get(id);
    if (place === undefined) {
      if (isPlace) placed.set(id, { order, at: record.at, isDoubtful: false });
    } else {
      // The message was applied after a loss, because a replica still had it. A later reconcile may follow the present sets.
      place.isDoubtful = isLost.delete(id);
    }
  }
  for (const id of isLost) placed.delete(id);
  return placed;
}
