import type { LogEntry } from "../../domain/change.js";
import type { LogPosition } from "../../domain/cursor.js";
import { refusal } from "../../domain/errors.js";
import type { Membership } from "../../domain/membership.js";
import type { Engine } from "../../domain/ports/engine.js";
import type { Unsubscribe } from "../../domain/ports/unsubscribe.js";
import type { Logger } from "../../lib/logger.js";
import type { FeedCounts } from "../ops/feedCounts.js";
import { ChangeRing } from "./changeRing.js";
import { FeedPicture } from "./feedPicture.js";
import { MAX_MESSAGE_BYTES, Snapshot } from "./snapshot.js";
import { encodeBatch, encodeBatchHeader } from "./wire/encode.js";

/** How many entries are read from the log at a time. */
const LOG_PAGE = 200;
/** The most entries that are kept while the log is being read. The oldest are dropped, since the log has them too. */
const MAX_EARLY_ENTRIES = 10_000;
/** Bytes of a message that are reserved for the header and the length prefixes of a batch. */
const BATCH_OVERHEAD_BYTES = 1 << 10;
/** How many epochs a feed remembers after it has left them. */
const MAX_LEFT_EPOCHS = 16;
/** The most encoded batches that are kept for other watchers at the same revision. */
const MAX_SHARED_BATCHES = 8;

/** Changes after a revision, encoded as one message. */
export interface Batch {
  /** Undefined if the user filter removed every change. */
  frame: Buffer | undefined;
  /** How many changes the frame contains. */
  changes: number;
  /** The position after the batch. */
  position: LogPosition;
}

/** A reader of a feed. */
export interface FeedReader {
  /** Called when the feed has something new to take: changes or a reloaded state. */
  onFeedAdvanced(): void;
}

/**
 * One event in the memory of this replica: the current state, the latest changes already encoded, and the readers.
 *
 * The feed follows the entries that the store publishes. When an entry is missing, out of order or of another epoch, it
 * reads the log, which always has every change. If the log no longer reaches back, it loads the whole state again.
 */
export class EventFeed {
  readonly eventId: string;
  readonly counts: FeedCounts;
  readonly #engine: Engine;
  readonly #logger: Logger;
  readonly #ring = new ChangeRing();
  readonly #readers = new Set<FeedReader>();
  #picture = new FeedPicture({ members: [] });
  #epoch = "";
  #header: Uint8Array = new Uint8Array();
  /** At most two: the newest, and the one before it for watchers that are still reading it. */
  #snapshots: Snapshot[] = [];
  readonly #batches = new Map<number, Batch>();
  #early: LogEntry[] = [];
  #syncing: Promise<void> | undefined;
  #extending: Promise<boolean> | undefined;
  #isInSync = false;
  // The head of the feed when it last became in sync.
  #inSyncFrom = 0;
  // When the newest change was made, by Redis's clock; undefined if there is none or that is not known.
  #headTimeMs: number | undefined;
  // Epochs that this feed has followed and left, the oldest first.
  readonly #leftEpochs = new Set<string>();
  // True if a change has arrived whose revision the feed already has, but which was made later than its newest change. The store may have gone back.
  #hasSeenReuse = false;
  #isClosed = false;
  #flushScheduled = false;
  // When the store accepted the oldest change that was not passed to the readers yet, ms since 1970.
  #unflushedSinceMs: number | undefined;
  #unfollow: Unsubscribe | undefined;

  constructor(eventId: string, engine: Engine, counts: FeedCounts, logger: Logger) {
    this.eventId = eventId;
    this.counts = counts;
    this.#engine = engine;
    this.#logger = logger;
  }

  get epoch(): string {
    return this.#epoch;
  }

  /** The revision of the newest change that this replica has. */
  get head(): number {
    return this.#ring.head;
  }

  /** The epoch and the revision of the newest change that this replica has. */
  get position(): LogPosition {
    return { epoch: this.#epoch, revision: this.#ring.head };
  }

  /**
   * True if the feed has every change of the log, as far as this replica knows, and a reader at `position` has received
   * all changes that the feed had missed before it was last in sync.
   */
  isInSyncFor(position: LogPosition): boolean {
    return this.#isInSync && position.epoch === this.#epoch && position.revision >= this.#inSyncFrom;
  }

  /** Loads the event and follows its log. If it rejects with `unavailable`, the feed is closed. */
  async open(): Promise<void> {
    try {
      this.#unfollow = await this.#engine.follow(this.eventId, (entry) => this.#receive(entry));
      if (this.#isClosed) throw refusal("DRAINING", "the replica is shutting down; reconnect", {});
      await this.synchronise();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  close(): void {
    this.#isClosed = true;
    this.#unfollow?.();
    for (const snapshot of this.#snapshots.splice(0)) snapshot.discard();
  }

  addReader(reader: FeedReader): void {
    this.#readers.add(reader);
  }

  removeReader(reader: FeedReader): void {
    this.#readers.delete(reader);
  }

  /** True if a reader at that position can continue with `batchAfter`, without a snapshot. */
  reachesBackTo(position: LogPosition): boolean {
    const { head, reach } = this.#ring;
    return position.epoch === this.#epoch && position.revision >= reach && position.revision <= head;
  }

  /**
   * Reads the log so that a reader at `position` can continue without a snapshot, if possible. If the position is ahead of
   * the feed, it reads newer entries. If the position is before the ring, it reads older entries as far as the ring has
   * room; a failure of that is only logged. Rejects with `unavailable` if the position is ahead and the store cannot be
   * reached.
   */
  async reachFor(position: LogPosition): Promise<void> {
    if (position.epoch !== this.#epoch || position.revision > this.#ring.head) await this.synchronise();
    try {
      while (position.epoch === this.#epoch && this.#ring.canReach(position.revision)) {
        this.#extending ??= this.#extendBack().finally(() => {
          this.#extending = undefined;
        });
        if (!(await this.#extending)) return;
      }
    } catch (error) {
      this.#logger.warn({ err: error, eventId: this.eventId }, "older changes could not be read, sending a snapshot");
    }
  }

  /**
   * Returns the changes after `revision` as one frame. Readers without a user filter at the same revision share it.
   *
   * @param revision a revision of this epoch that the feed reaches back to
   */
  batchAfter(revision: number, userIds?: ReadonlySet<string>): Batch {
    if (userIds !== undefined) return this.#encodeBatch(revision, userIds);
    const shared = this.#batches.get(revision);
    if (shared !== undefined) return shared;
    const batch = this.#encodeBatch(revision);
    if (this.#batches.size < MAX_SHARED_BATCHES) this.#batches.set(revision, batch);
    return batch;
  }

  /**
   * Returns a snapshot from which `batchAfter` can continue. As long as the newest snapshot is one, it is returned, so
   * that many readers share it. Otherwise a new one is encoded, and only the newest of the older ones is kept.
   */
  snapshot(): Snapshot {
    const [newest, older] = this.#snapshots;
    if (newest !== undefined && this.reachesBackTo(newest.position)) return newest;
    older?.discard();
    const snapshot = this.#snapshotOf(this.#picture.members.values());
    this.#snapshots = newest === undefined ? [snapshot] : [snapshot, newest];
    return snapshot;
  }

  /** Encodes a snapshot of some users. It is not shared. */
  snapshotFor(userIds: ReadonlySet<string>): Snapshot {
    const members = [...userIds].map((userId) => this.#picture.members.get(userId));
    return this.#snapshotOf(members.filter((member) => member !== undefined));
  }

  /** Discards the snapshots that no watcher is reading. They are encoded again when needed. */
  discardIdleSnapshots(): void {
    this.#snapshots = this.#snapshots.filter((snapshot) => {
      if (snapshot.readers === 0) snapshot.discard();
      return snapshot.isAlive;
    });
  }

  /**
   * Compares the head of the feed with the end of the log, and reads the missing entries. Concurrent calls share one
   * outcome. If it rejects with `unavailable`, the feed keeps its state and counts as out of sync.
   */
  synchronise(): Promise<void> {
    this.#syncing ??= this.#catchUp()
      .then(
        () => {
          if (!this.#isInSync) this.#inSyncFrom = this.#ring.head;
          this.#isInSync = true;
        },
        (error: unknown) => {
          this.#isInSync = false;
          this.#early = [];
          throw error;
        },
      )
      .finally(() => {
        this.#syncing = undefined;
        for (const entry of this.#early.splice(0)) this.#receive(entry);
      });
    return this.#syncing;
  }

  /** Entries may have been missed, so the feed is not in sync until `synchronise` has finished. */
  doubt(): void {
    this.#isInSync = false;
  }

  // Reads one page of older entries into the ring. Returns false if there are none, or no room for them.
  async #extendBack(): Promise<boolean> {
    const { epoch } = this.position;
    const { reach } = this.#ring;
    const entries = await this.#engine.readLogBack(this.eventId, { epoch, revision: reach }, LOG_PAGE);
    if (entries === undefined || epoch !== this.#epoch || reach !== this.#ring.reach) return false;
    this.#ring.extendBack(entries);
    return this.#ring.reach < reach;
  }

  #receive(entry: LogEntry): void {
    if (this.#syncing !== undefined) {
      this.#early.push(entry);
      if (this.#early.length > MAX_EARLY_ENTRIES) this.#early.shift();
      return;
    }
    if (entry.epoch === this.#epoch && entry.revision <= this.#ring.head) {
      if (this.#headTimeMs !== undefined && entry.timeMs > this.#headTimeMs) {
        this.#hasSeenReuse = true;
        this.#synchroniseSoon();
      }
      return;
    }
    if (entry.epoch === this.#epoch && entry.revision === this.#ring.head + 1) {
      try {
        this.#append(entry);
        return;
      } catch (error) {
        this.#logger.error(
          { err: error, eventId: this.eventId, revision: entry.revision },
          "log entry could not be encoded, reading the log again",
        );
      }
    }
    this.counts.gaps++;
    this.#early.push(entry);
    this.#synchroniseSoon();
  }

  #synchroniseSoon(): void {
    this.synchronise().catch((error: unknown) =>
      this.#logger.warn({ err: error, eventId: this.eventId }, "feed could not catch up, will try again"),
    );
  }

  async #catchUp(): Promise<void> {
    do {
      // Every entry published up to here is in the log when the position is read, so the early ones are not needed.
      this.#early = [];
      const position = await this.#readProvenPosition();
      const isAhead = position?.epoch === this.#epoch && position.revision >= this.#ring.head;
      if (!isAhead || !(await this.#readLogUpTo(position))) await this.#reload();
      this.#appendEarly();
    } while (this.#early.length > 0);
  }

  // Returns the position of the newest log entry. If an older copy of the event's keys was restored, one epoch would use
  // revisions twice. This feed detects it by what it has already delivered, and then begins a new epoch first.
  async #readProvenPosition(): Promise<LogPosition | undefined> {
    const position = await this.#engine.readPosition(this.eventId);
    if (position === undefined || this.#epoch === "") return position;
    const { epoch, revision } = position;
    const { head } = this.#ring;
    const mayHavePassedHead = this.#headTimeMs !== undefined && (revision > head || this.#hasSeenReuse);
    const mayHaveGoneBack = epoch === this.#epoch && (revision < head || mayHavePassedHead);
    this.#hasSeenReuse = false;
    if (this.#leftEpochs.has(epoch)) {
      await this.#engine.renewEpoch(this.eventId, { epoch, revision: Number.MAX_SAFE_INTEGER });
    } else if (mayHaveGoneBack) {
      await this.#engine.renewEpoch(this.eventId, { ...this.position, timeMs: this.#headTimeMs });
    } else {
      return position;
    }
    return this.#engine.readPosition(this.eventId);
  }

  // Appends the early entries that follow the head without a gap, and removes those that the feed already has.
  #appendEarly(): void {
    this.#early = this.#early.filter((entry) => {
      if (entry.epoch !== this.#epoch) return true;
      if (entry.revision === this.#ring.head + 1) this.#append(entry);
      return entry.revision > this.#ring.head;
    });
  }

  // Returns false if the feed must load the whole state: the log no longer reaches back, or an entry is not encodable.
  async #readLogUpTo(position: LogPosition): Promise<boolean> {
    while (this.#ring.head < position.revision) {
      const entries = await this.#engine.readLog(this.eventId, this.position, LOG_PAGE);
      if (entries === undefined) return false;
      if (entries.length === 0) return true;
      try {
        for (const entry of entries) this.#append(entry);
      } catch (error) {
        // An entry that cannot be encoded must not hold up all later ones. A snapshot includes its effect.
        this.#logger.error(
          { err: error, eventId: this.eventId, after: this.position },
          "log entry could not be encoded, sending a snapshot",
        );
        return false;
      }
    }
    return true;
  }

  async #reload(): Promise<void> {
    const state = await this.#engine.loadEvent(this.eventId);
    if (this.#epoch !== "") {
      const from = this.position;
      this.counts.reloads[state.epoch === this.#epoch ? "log" : "epoch"]++;
      this.#logger.warn(
        { eventId: this.eventId, from, to: { epoch: state.epoch, revision: state.revision } },
        "event reloaded",
      );
    }
    if (this.#epoch !== state.epoch) this.#leaveEpoch();
    this.#headTimeMs = state.newestTimeMs;
    this.#epoch = state.epoch;
    this.#header = encodeBatchHeader(this.eventId, state.epoch);
    this.#picture = new FeedPicture(state);
    this.#ring.reset(state.revision);
    this.#inSyncFrom = state.revision;
    this.#onAdvanced();
  }

  #leaveEpoch(): void {
    if (this.#epoch === "") return;
    this.#leftEpochs.add(this.#epoch);
    for (const oldest of this.#leftEpochs) {
      if (this.#leftEpochs.size <= MAX_LEFT_EPOCHS) break;
      this.#leftEpochs.delete(oldest);
    }
  }

  #append(entry: LogEntry): void {
    this.#ring.push(entry);
    this.#headTimeMs = entry.timeMs;
    this.#unflushedSinceMs ??= entry.timeMs;
    this.#picture.apply(entry);
    this.#onAdvanced();
  }

  #snapshotOf(members: Iterable<Membership>): Snapshot {
    return new Snapshot(this.eventId, this.position, members, this.#picture.pause);
  }

  // Notifies the readers once for all changes that arrive together, at the end of this turn of the event loop.
  #onAdvanced(): void {
    this.#batches.clear();
    if (this.#flushScheduled) return;
    this.#flushScheduled = true;
    process.nextTick(() => {
      this.#flushScheduled = false;
      if (this.#unflushedSinceMs !== undefined) {
        // The store's clock may be ahead of this machine's.
        this.counts.observeLag(Math.max(0, Date.now() - this.#unflushedSinceMs) / 1_000);
        this.#unflushedSinceMs = undefined;
      }
      for (const reader of this.#readers) reader.onFeedAdvanced();
    });
  }

  #encodeBatch(revision: number, userIds?: ReadonlySet<string>): Batch {
    const slice = this.#ring.sliceAfter(revision, MAX_MESSAGE_BYTES - BATCH_OVERHEAD_BYTES, userIds);
    const frame = slice.parts.length === 0 ? undefined : encodeBatch(this.#header, slice.parts, slice.bytes);
    return { frame, changes: slice.parts.length, position: { epoch: this.#epoch, revision: slice.revision } };
  }
}
