import type { Cursor, RouterRecord } from "./history.js";

type SnapshotRecord = Extract<RouterRecord, { kind: "snapshot" }>;

/** A promise that the stream has broken. */
interface Breach {
  /** G3 if a checkpoint covers a change that was not delivered. */
  law: "G2" | "G3";
  text: string;
}

interface PicturedEvent {
  epoch: string;
  revision: number;
  users: Map<string, string>;
  /** True while a stream that was opened without a cursor for the event has not sent its snapshot. */
  isAwaited: boolean;
}

/**
 * Combines a router's messages over all its streams, without the client's code, and checks that they arrive in the
 * promised order.
 */
export class RouterPicture {
  readonly events = new Map<string, PicturedEvent>();
  readonly #chunks = new Map<string, SnapshotRecord[]>();
  /** Events that this stream has sent. */
  readonly #reported = new Set<string>();

  /** Adds the next record and returns the promises that it breaks. */
  take(record: RouterRecord): Breach[] {
    const outOfOrder = (texts: string[]) => texts.map((text): Breach => ({ law: "G2", text }));
    switch (record.kind) {
      case "opened":
        return outOfOrder(this.#open(record.cursors));
      case "snapshot":
        return outOfOrder(this.#takeChunk(record));
      case "changes":
        return outOfOrder(this.#takeChanges(record));
      case "checkpoint":
        return this.#takeCheckpoint(record.cursors);
      case "ended":
        return [];
    }
  }

  #open(cursors: readonly Cursor[]): string[] {
    this.#chunks.clear();
    this.#reported.clear();
    const resumed = new Map(cursors.map((cursor) => [cursor.eventId, cursor]));
    const breaches: string[] = [];
    for (const [eventId, event] of this.events) {
      const cursor = resumed.get(eventId);
      event.isAwaited = cursor?.epoch !== event.epoch;
      if (event.isAwaited || cursor === undefined) continue;
      if (cursor.revision !== event.revision) {
        breaches.push(`${eventId} is resumed at ${cursor.revision}, but ${event.revision} was delivered`);
      }
    }
    return breaches;
  }

  #takeChunk(chunk: SnapshotRecord): string[] {
    const { eventId, epoch, revision, reason } = chunk;
    const earlier = chunk.chunkIndex === 0 ? [] : (this.#chunks.get(eventId) ?? []);
    const chunks = [...earlier, chunk];
    this.#chunks.set(eventId, chunks);
    const breaches: string[] = [];
    if (chunk.chunkIndex !== earlier.length) {
      breaches.push(`chunk ${chunk.chunkIndex} of ${eventId} follows ${earlier.length} others`);
    }
    if (earlier.some((other) => other.epoch !== epoch || other.revision !== revision)) {
      breaches.push(`a snapshot of ${eventId} changes its cursor on the way`);
    }
    if (reason === "UNSPECIFIED") breaches.push(`a snapshot of ${eventId} gives no reason`);
    if (!chunk.isComplete) return breaches;
    const known = this.events.get(eventId);
    if (known?.epoch === epoch && !known.isAwaited && revision < known.revision) {
      breaches.push(`a snapshot of ${eventId} goes back from ${known.revision} to ${revision} in one epoch`);
    }
    const users = new Map(chunks.flatMap((part) => part.users));
    this.events.set(eventId, { epoch, revision, users, isAwaited: false });
    this.#chunks.delete(eventId);
    this.#reported.add(eventId);
    return breaches;
  }

  #takeChanges({ eventId, epoch, entries }: Extract<RouterRecord, { kind: "changes" }>): string[] {
    const event = this.events.get(eventId);
    if (event === undefined || event.epoch !== epoch || event.isAwaited) {
      return [`changes of ${eventId} in epoch ${epoch} without a snapshot of it`];
    }
    const breaches: string[] = entries.length === 0 ? [`a batch of ${eventId} without changes`] : [];
    for (const { revision, userId, channels } of entries) {
      if (revision !== event.revision + 1) {
        breaches.push(`revision ${revision} of ${eventId} follows ${event.revision} in epoch ${epoch}`);
      }
      event.revision = revision;
      event.users.set(userId, channels);
    }
    this.#reported.add(eventId);
    return breaches;
  }

  #takeCheckpoint(cursors: readonly Cursor[]): Breach[] {
    const breaches: Breach[] = [];
    for (const { eventId, epoch, revision } of cursors) {
      const event = this.events.get(eventId);
      if (event === undefined || event.isAwaited) {
        breaches.push({ law: "G3", text: `a checkpoint of ${eventId} before its snapshot` });
      } else if (event.epoch !== epoch) {
        breaches.push({ law: "G2", text: `a checkpoint of ${eventId} in epoch ${epoch} without a snapshot of it` });
      } else if (event.revision !== revision) {
        const text = `a checkpoint of ${eventId} at ${revision} where ${event.revision} was delivered`;
        breaches.push({ law: "G3", text });
      }
    }
    const named = new Set(cursors.map(({ eventId }) => eventId));
    for (const eventId of this.#reported) {
      if (!named.has(eventId)) breaches.push({ law: "G3", text: `a checkpoint leaves out ${eventId}` });
    }
    return breaches;
  }
}
