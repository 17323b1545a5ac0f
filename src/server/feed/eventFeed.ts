import type { LogEntry } from "../../domain/change.js";
import type { LogPosition } from "../../domain/cursor.js";
import { SquelchError } from "../../domain/errors.js";
import type { Membership } from "../../domain/membership.js";
import type { Engine, Unsubscribe } from "../../domain/ports.js";
import type { Logger } from "../../lib/logger.js";
import type { FeedCounts } from "../ops/feedCounts.js";
import { ChangeRing } from "./changeRing.js";
import { EventPicture } from "./eventPicture.js";
import { MAX_MESSAGE_BYTES, Snapshot } from "./snapshot.js";
import { encodeBatch, encodeBatchHeader } from "./wire/encode.js";

/** How many entries are read from the log at a time. */
const LOG_PAGE = 200;
/** Entries that arrive while the log is being read; the oldest can go, since the log is the truth. */
const MAX_EARLY_ENTRIES = 10_000;
/** Room for a batch's header and length prefixes within a message. */
const BATCH_OVERHEAD_BYTES = 1 << 10;
/** How many epochs a feed remembers after it has left them. */
const MAX_LEFT_EPOCHS = 16;
/** Batches that are kept for the next watcher at the same cursor. */
const MAX_SHARED_BATCHES = 8;

/** The changes after some revision, and where they lead to. */
export interface Batch {
  /** Undefined if a filter left nothing. */
  frame: Buffer | undefined;
  /** How many changes it has. */
  changes: number;
  position: LogPosition;
}

/** Something that reads a feed and is told when there is more. */
export interface FeedReader {
  onFeedAdvanced(): void;
}

/**
 * One event in the memory of this replica: its picture, its latest changes already encoded, and its readers. It follows
 * what the store publishes; wherever that has a gap, the log is read.
 */
export class EventFeed {
  readonly eventId: string;
  readonly counts: FeedCounts;
  readonly #engine: Engine;
  readonly #logger: Logger;
  readonly #ring = new ChangeRing();
  readonly #readers = new Set<FeedReader>();
  #picture = new EventPicture({ members: [] });
  #epoch = "";
  #header: Uint8Array = new Uint8Array();
  /** At most the newest and the one before it. */
  #snapshots: Snapshot[] = [];
  readonly #batches = new Map<number, Batch>();
  #early: LogEntry[] = [];
  #syncing: Promise<void> | undefined;
  #extending: Promise<boolean> | undefined;
  #isInSync = false;
  // What the feed had when it last got in sync: a revision of the present epoch.
  #inSyncFrom = 0;
  // When the newest change was made, by Redis's clock; undefined if there is none or that is not known.
  #headTimeMs: number | undefined;
  // Epochs that this feed has followed and left, the oldest first.
  readonly #leftEpochs = new Set<string>();
  // True if a change has arrived with a revision that the feed has, but newer than its newest: the store may have gone back.
  #hasSeenReuse = false;
  #isClosed = false;
  #flushScheduled = false;
  // When the store accepted the oldest change that is not flushed yet.
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

  /** Both. */
  get position(): LogPosition {
    return { epoch: this.#epoch, revision: this.#ring.head };
  }

  /**
   * False while the feed knows or must assume that the log is ahead of it, and for a reader that has not yet been given
   * what the feed had missed until it was in sync again.
   */
  isInSyncFor(position: LogPosition): boolean {
    return this.#isInSync && position.epoch === this.#epoch && position.revision >= this.#inSyncFrom;
  }

  /** Loads the event and follows it. Rejects with `unavailable`; then the feed is closed. */
  async open(): Promise<void> {
    try {
      this.#unfollow = await this.#engine.follow(this.eventId, (entry) => this.#receive(entry));
      if (this.#isClosed) throw new SquelchError("unavailable", "the replica is shutting down; reconnect");
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

  /** True if a reader at that position can go on with `batchAfter`. */
  reachesBackTo(position: LogPosition): boolean {
    const { head, reach } = this.#ring;
    return position.epoch === this.#epoch && position.revision >= reach && position.revision <= head;
  }

  /**
   * Tries to make `reachesBackTo(position)` true by reading the log: what came after this feed's newest change, or, as
   * far as the ring has room, what came before its oldest. Rejects with `unavailable` if only the store could tell
   * whether there is such a position, and cannot be reached.
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
      this.#logger.warn({ err: error, eventId: this.eventId }, "older changes could not be read, a snapshot is sent");
    }
  }

  /** The changes after `revision`, which must be within reach, as one frame that readers at the same place share. */
  batchAfter(revision: number, userIds?: ReadonlySet<string>): Batch {
    if (userIds !== undefined) return this.#encodeBatch(revision, userIds);
    const shared = this.#batches.get(revision);
    if (shared !== undefined) return shared;
    const batch = this.#encodeBatch(revision);
    if (this.#batches.size < MAX_SHARED_BATCHES) this.#batches.set(revision, batch);
    return batch;
  }

  /** A picture that `batchAfter` can go on from: the newest one as long as it can, so that many readers share it. */
  snapshot(): Snapshot {
    const [newest, older] = this.#snapshots;
    if (newest !== undefined && this.reachesBackTo(newest.position)) return newest;
    older?.discard();
    const snapshot = this.#snapshotOf(this.#picture.members.values());
    this.#snapshots = newest === undefined ? [snapshot] : [snapshot, newest];
    return snapshot;
  }

  /** A picture of some users alone, for one reader. */
  snapshotFor(userIds: ReadonlySet<string>): Snapshot {
    const members = [...userIds].map((userId) => this.#picture.members.get(userId));
    return this.#snapshotOf(members.filter((member) => member !== undefined));
  }

  /** Forgets the snapshots that nobody is on: they can be made again. */
  discardIdleSnapshots(): void {
    this.#snapshots = this.#snapshots.filter((snapshot) => {
      if (snapshot.readers === 0) snapshot.discard();
      return snapshot.isAlive;
    });
  }

  /**
   * Compares with the log and reads what is missing; calls while one is under way share its outcome. Rejects with
   * `unavailable`; then the feed goes on with what it has, and is not in sync.
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

  /** Entries may have been missed: the feed is not in sync until `synchronise` has been through. */
  doubt(): void {
    this.#isInSync = false;
  }

  // Puts one page of older entries before the oldest; false if there are none, or no room.
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
        this.#logger.error({ err: error, eventId: this.eventId, revision: entry.revision }, "entry cannot be told");
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
      // What was published before the position is read is in the log by then.
      this.#early = [];
      const position = await this.#readProvenPosition();
      const isAhead = position?.epoch === this.#epoch && position.revision >= this.#ring.head;
      if (!isAhead || !(await this.#readLogUpTo(position))) await this.#reload();
      this.#appendEarly();
    } while (this.#early.length > 0);
  }

  // Where the log ends. An older copy of the event's keys may have been restored, so that revisions would be used twice in one
  // epoch. What this feed has delivered proves that: then a new epoch is begun first.
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

  // Takes those early entries that follow without a gap, and forgets those already there.
  #appendEarly(): void {
    this.#early = this.#early.filter((entry) => {
      if (entry.epoch !== this.#epoch) return true;
      if (entry.revision === this.#ring.head + 1) this.#append(entry);
      return entry.revision > this.#ring.head;
    });
  }

  // False if the log no longer has what is missing.
  async #readLogUpTo(position: LogPosition): Promise<boolean> {
    while (this.#ring.head < position.revision) {
      const entries = await this.#engine.readLog(this.eventId, this.position, LOG_PAGE);
      if (entries === undefined) return false;
      if (entries.length === 0) return true;
      try {
        for (const entry of entries) this.#append(entry);
      } catch (error) {
        // An entry that cannot be told must not stop all that come after it.
        this.#logger.error(
          { err: error, eventId: this.eventId, after: this.position },
          "entry passed over by a snapshot",
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
    this.#picture = new EventPicture(state);
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

  // Readers are told once for all that comes in together, still in this turn of the event loop.
  #onAdvanced(): void {
    this.#batches.clear();
    if (this.#flushScheduled) return;
    this.#flushScheduled = true;
    process.nextTick(() => {
      this.#flushScheduled = false;
      if (this.#unflushedSinceMs !== undefined) {
        // The clocks of two machines: Redis's may be ahead.
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
