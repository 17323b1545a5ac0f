import { SnapshotReason } from "../../../gen/squelch/v1/permission_service_pb.js";
import type { LogPosition } from "../../domain/cursor.js";
import type { EventFeed } from "./eventFeed.js";
import type { Snapshot } from "./snapshot.js";

interface SnapshotPlace {
  source: Snapshot;
  nextChunk: number;
  reason: SnapshotReason;
}

/**
 * The progress of one watcher in one event: a position in the log, or a chunk of a snapshot. A cursor stores no frames.
 * `take` asks the feed for the next frame, which the feed shares among all cursors at the same place.
 */
export class EventCursor {
  readonly feed: EventFeed;
  readonly #userIds: ReadonlySet<string> | undefined;
  #position: LogPosition | undefined;
  #snapshot: SnapshotPlace | undefined;

  /**
   * @param position the position to continue from. If it is undefined or out of the feed's reach, a snapshot comes first.
   * @param userIds the users to deliver changes of; undefined delivers the changes of all users
   */
  constructor(feed: EventFeed, position: LogPosition | undefined, userIds: ReadonlySet<string> | undefined) {
    this.feed = feed;
    this.#position = position;
    this.#userIds = userIds;
  }

  /** The position up to which every change was taken. Undefined while a snapshot is incomplete or has not begun. */
  get position(): LogPosition | undefined {
    return this.#snapshot === undefined ? this.#position : undefined;
  }

  /** True if the cursor is at the head of the feed, so that `take` has nothing to return. */
  get isCaughtUp(): boolean {
    const { feed, position } = this;
    return position !== undefined && position.revision === feed.head && position.epoch === feed.epoch;
  }

  /** Returns the next frame and advances past it. Returns undefined if the cursor is caught up. */
  take(): Buffer | undefined {
    while (!this.isCaughtUp) {
      if (this.#snapshot !== undefined) return this.#takeChunk(this.#snapshot);
      if (this.#position === undefined || !this.feed.reachesBackTo(this.#position)) {
        this.#snapshot = this.#startSnapshot(this.#reasonForSnapshot());
      } else {
        const { frame, changes, position } = this.feed.batchAfter(this.#position.revision, this.#userIds);
        this.#position = position;
        this.feed.counts.deliveredChanges += changes;
        if (frame !== undefined) return frame;
      }
    }
    return undefined;
  }

  /** Releases the snapshot that the cursor is reading, if any. */
  close(): void {
    if (this.#snapshot !== undefined) this.#snapshot.source.readers--;
    this.#snapshot = undefined;
  }

  #reasonForSnapshot(): SnapshotReason {
    if (this.#position === undefined) return SnapshotReason.INITIAL;
    const isOfThisLife = this.#position.epoch === this.feed.epoch && this.#position.revision <= this.feed.head;
    return isOfThisLife ? SnapshotReason.CURSOR_TOO_OLD : SnapshotReason.STORE_RESET;
  }

  #startSnapshot(reason: SnapshotReason): SnapshotPlace {
    const source = this.#userIds === undefined ? this.feed.snapshot() : this.feed.snapshotFor(this.#userIds);
    source.readers++;
    this.feed.counts.snapshots[reason]++;
    return { source, nextChunk: 0, reason };
  }

  #takeChunk(place: SnapshotPlace): Buffer {
    const { source, nextChunk, reason } = place.source.isAlive ? place : this.#startSnapshot(place.reason);
    const frame = source.chunk(nextChunk, reason);
    this.#snapshot = { source, nextChunk: nextChunk + 1, reason };
    if (nextChunk + 1 === source.chunkCount) {
      this.close();
      this.#position = source.position;
    }
    return frame;
  }
}
