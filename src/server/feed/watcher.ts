import type { LogPosition } from "../../domain/cursor.js";
import type { FeedHealth } from "../../domain/ports/engine.js";
import { EventCursor } from "./eventCursor.js";
import type { EventFeed, FeedReader } from "./eventFeed.js";
import { type EventPosition, encodeCheckpoint } from "./wire/encodeCheckpoint.js";

/** The stream that a watcher writes its messages to. */
export interface WatchSink {
  /** Sends one or more frames, each an encoded response. Calls `done` when the stream can take the next write. */
  write(frames: Buffer, done: () => void): void;
}

/**
 * One WatchPermissions stream. It has a cursor for each event and knows whether the stream can take a message. At most one
 * message is outstanding and nothing is queued, so a slow watcher needs no more memory than a fast one.
 */
export class Watcher {
  readonly #sink: WatchSink;
  readonly #userIds: ReadonlySet<string> | undefined;
  readonly #health: () => FeedHealth;
  readonly #cursors = new Map<string, EventCursor>();
  /** Cursors that may have a frame to take. They take turns, in the order of this set. */
  readonly #pending = new Set<EventCursor>();
  readonly #readers = new Map<EventCursor, FeedReader>();
  readonly #timer: NodeJS.Timeout;
  #isWriting = false;
  #isOpen = true;
  #isCheckpointDue = false;
  // The head of each event when the watch began. The first checkpoint is sent after all cursors have reached them.
  #targets: Map<EventCursor, LogPosition> | undefined;

  /**
   * @param userIds the users to deliver changes of; undefined delivers the changes of all users
   * @param checkpointIntervalMs the time between two checkpoints
   * @param health called for each checkpoint
   */
  constructor(
    sink: WatchSink,
    userIds: ReadonlySet<string> | undefined,
    checkpointIntervalMs: number,
    health: () => FeedHealth,
  ) {
    this.#sink = sink;
    this.#userIds = userIds;
    this.#health = health;
    this.#timer = setInterval(() => {
      this.#isCheckpointDue = this.#targets !== undefined;
      this.#pump();
    }, checkpointIntervalMs);
  }

  get feeds(): EventFeed[] {
    return [...this.#cursors.values()].map((cursor) => cursor.feed);
  }

  isWatching(eventId: string): boolean {
    return this.#cursors.has(eventId);
  }

  /** Adds an event and starts to send its snapshot or changes at once. */
  add(feed: EventFeed, position: LogPosition | undefined): void {
    const cursor = new EventCursor(feed, position, this.#userIds);
    const reader = {
      onFeedAdvanced: () => {
        this.#pending.add(cursor);
        this.#pump();
      },
    };
    this.#cursors.set(feed.eventId, cursor);
    this.#readers.set(cursor, reader);
    feed.addReader(reader);
    reader.onFeedAdvanced();
  }

  /** Call this once, after all requested events were added. The first checkpoint is sent when they have caught up. */
  start(): void {
    const cursors = [...this.#cursors.values()];
    this.#targets = new Map(cursors.map((cursor) => [cursor, cursor.feed.position]));
    this.#isCheckpointDue = true;
    this.#pump();
  }

  /** Ends the watch. It writes nothing afterwards. Idempotent. */
  close(): void {
    this.#isOpen = false;
    clearInterval(this.#timer);
    for (const [cursor, reader] of this.#readers) {
      cursor.feed.removeReader(reader);
      cursor.close();
    }
    this.#readers.clear();
    this.#pending.clear();
  }

  // Runs for each watcher at each change, so it allocates nothing.
  #pump(): void {
    if (this.#isWriting || !this.#isOpen) return;
    const frame = this.#takeCheckpoint() ?? this.#takeData();
    if (frame === undefined) return;
    this.#isWriting = true;
    this.#sink.write(frame, this.#onWritten);
  }

  readonly #onWritten = () => {
    this.#isWriting = false;
    this.#pump();
  };

  #takeData(): Buffer | undefined {
    for (const cursor of this.#pending) {
      this.#pending.delete(cursor);
      const frame = cursor.take();
      if (!cursor.isCaughtUp) this.#pending.add(cursor);
      if (frame !== undefined) return frame;
    }
    return this.#takeCheckpoint();
  }

  // A checkpoint states the positions of all cursors. Within a snapshot a cursor has none, so the checkpoint waits.
  #takeCheckpoint(): Buffer | undefined {
    if (!this.#isCheckpointDue || !this.#hasReachedTargets()) return undefined;
    const positions: EventPosition[] = [];
    let isInSync = true;
    for (const [eventId, { feed, position }] of this.#cursors) {
      if (position === undefined) return undefined;
      positions.push({ eventId, ...position });
      isInSync &&= feed.isInSyncFor(position);
    }
    this.#isCheckpointDue = false;
    const health = this.#health();
    return encodeCheckpoint(positions, { ...health, healthy: health.healthy && isInSync });
  }

  #hasReachedTargets(): boolean {
    const targets = this.#targets ?? new Map();
    for (const [cursor, target] of targets) {
      const { position, feed } = cursor;
      if (position?.epoch !== feed.epoch) return false;
      if (position.epoch === target.epoch && position.revision < target.revision) return false;
      targets.delete(cursor);
    }
    return true;
  }
}
