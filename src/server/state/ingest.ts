import type { Position } from "../../domain/cursor.js";
import { isUnavailable } from "../../domain/errors.js";
import type { Engine } from "../../domain/ports/engine.js";
import type { MembershipUpdate } from "../../domain/ports/membershipStore.js";
import { errorReplyOf } from "../../engine/redis/connection/errorReplies.js";
import type { Logger } from "../../lib/logger.js";

/** The most updates that are applied in one step. */
const MAX_BATCH = 100;
/** The most updates of one event that wait. */
const MAX_QUEUED_UPDATES = 10_000;
/** The first wait before updates are applied again, ms. Each following wait is twice as long, up to the longest. */
const FIRST_RETRY_MS = 250;
const LONGEST_RETRY_MS = 2_000;
/** The longest time that updates may be rejected before the replica reports that it cannot apply them, ms. */
const PROBLEM_AFTER_MS = 3_000;
/** The actor in the log for changes that the control plane published. */
const ACTOR = "control-plane";

/** Counts of updates since the start of the replica. */
export interface IngestCounts {
  applied: number;
  /**
   * Updates that found a full queue, or that still waited at the stop. A reconcile repairs what they would have
   * changed.
   */
  dropped: number;
  /** Updates that named a channel of another event. */
  foreign: number;
  /** Updates that came before the first ticket of a connection, so that they have no position in the order. */
  unplaced: number;
}

interface QueuedUpdate extends MembershipUpdate {
  /** The number of the message among all accepted messages. */
  sequence: number;
  /** When the update was accepted, by the monotonic clock. */
  acceptedMs: number;
}

/** The waiting updates of one event, in their order. */
interface EventQueue {
  updates: QueuedUpdate[];
  /**
   * Users with an update that cannot be applied because of a defect. Their updates wait; updates of other users
   * overtake them.
   */
  stuckUsers: Set<string>;
  /** How many updates are applied together: one while the update that causes a failure is searched for. */
  batchSize: number;
  /** Ends the wait of a queue in which all updates wait because of defects. */
  wake?: (() => void) | undefined;
  /**
   * Set while updates cannot be applied: since when, by the monotonic clock, and whether Redis answered with an error.
   */
  failing?: { sinceMs: number; error: Error; isRefused: boolean } | undefined;
}

/** A ticket, and the last message before it. */
interface SeenTicket {
  generation: number;
  sequence: number;
}

/**
 * Applies the control plane's updates to the store: in order within an event, in batches when busy. Only the script in
 * the store decides that an update is outdated. After any other failure the update waits and is applied again. An event
 * that fails does not delay other events.
 */
export class Ingest {
  readonly counts: IngestCounts = { applied: 0, dropped: 0, foreign: 0, unplaced: 0 };
  readonly #engine: Engine;
  readonly #logger: Logger;
  readonly #reopen: () => void;
  readonly #requestReconcile: () => void;
  readonly #queues = new Map<string, EventQueue>();
  readonly #abort = new AbortController();
  #sequence = 0;
  #openedAt: number | undefined;
  #newestTicket: SeenTicket | undefined;
  // The ticket that waits until all earlier updates are applied, and the last ticket for which they were.
  #awaitedTicket: SeenTicket | undefined;
  #appliedThrough: number | undefined;

  /**
   * @param reopen opens the subscription again, so that a reconcile repairs what a full queue has dropped
   * @param requestReconcile requests a comparison with the control plane's keys, after updates were rejected
   */
  constructor(engine: Engine, reopen: () => void, requestReconcile: () => void, logger: Logger) {
    this.#engine = engine;
    this.#reopen = reopen;
    this.#requestReconcile = requestReconcile;
    this.#logger = logger;
  }

  /** The ticket at which the unbroken subscription began; undefined while there is no subscription. */
  get openedAt(): number | undefined {
    return this.#openedAt;
  }

  /** The newest ticket that came through the unbroken subscription; undefined while there is no subscription. */
  get newestTicket(): number | undefined {
    return this.#newestTicket?.generation;
  }

  /** The number of waiting updates, and how long the oldest has waited, ms. */
  queued(): { updates: number; oldestMs: number } {
    const now = performance.now();
    let updates = 0;
    let oldestMs = 0;
    for (const queue of this.#queues.values()) {
      updates += queue.updates.length;
      oldestMs = Math.max(oldestMs, now - (queue.updates[0]?.acceptedMs ?? now));
    }
    return { updates, oldestMs };
  }

  /**
   * Explains why updates are not applied, if the store has rejected those of an event for some seconds. Otherwise
   * undefined.
   */
  problem(): string | undefined {
    const refusedBeforeMs = performance.now() - PROBLEM_AFTER_MS;
    for (const { failing } of this.#queues.values()) {
      if (failing === undefined || failing.sinceMs > refusedBeforeMs) continue;
      const { isRefused, error } = failing;
      // A defect concerns a single user, and another replica would have the same defect.
      if (isRefused && isUnavailable(error)) return `updates of the control plane wait: ${error.message}`;
    }
    return undefined;
  }

  /** The ticket before which all updates since `openedAt` have been applied; undefined if there is none yet. */
  appliedThrough(): number | undefined {
    this.#awaitedTicket ??= this.#newestTicket;
    if (this.#awaitedTicket === undefined || this.#oldestUnapplied() <= this.#awaitedTicket.sequence) {
      return this.#appliedThrough;
    }
    this.#appliedThrough = this.#awaitedTicket.generation;
    this.#awaitedTicket = undefined;
    return this.#appliedThrough;
  }

  /** Handles a ticket that came through the subscription. */
  acceptTicket(generation: number): void {
    this.#openedAt ??= generation;
    this.#newestTicket = { generation, sequence: this.#sequence };
  }

  /** Handles a break of the subscription: messages may be missing from now on. */
  interrupt(): void {
    this.#openedAt = undefined;
    this.#newestTicket = undefined;
    this.#awaitedTicket = undefined;
    this.#appliedThrough = undefined;
  }

  /** Queues an update. Its outcome is logged and counted. */
  accept(
    eventId: string,
    update: Pick<MembershipUpdate, "userId" | "channelIds" | "action">,
    position: Position,
  ): void {
    const queue = this.#queues.get(eventId);
    const { userId, channelIds, action } = update;
    const acceptedMs = performance.now();
    const positioned = { userId, channelIds, action, actor: ACTOR, position, sequence: ++this.#sequence, acceptedMs };
    if (queue === undefined) {
      const created = { updates: [positioned], stuckUsers: new Set<string>(), batchSize: MAX_BATCH };
      this.#queues.set(eventId, created);
      void this.#drain(eventId, created);
    } else if (queue.updates.length < MAX_QUEUED_UPDATES) {
      queue.updates.push(positioned);
      queue.wake?.();
    } else {
      this.counts.dropped++;
      this.#logger.error(
        { eventId, userId: update.userId },
        "update dropped because too many wait, opening the subscription again",
      );
      if (this.#openedAt === undefined) return;
      this.interrupt();
      this.#reopen();
    }
  }

  /**
   * Stops applying updates. Waiting updates are not applied. The watermark has not passed them, so another replica
   * applies them, or the next subscription detects the gap and starts a reconcile.
   */
  stop(): void {
    if (this.#abort.signal.aborted) return;
    this.#abort.abort();
    const { updates } = this.queued();
    if (updates === 0) return;
    this.counts.dropped += updates;
    this.#logger.warn({ updates }, "stopped while updates waited, other replicas or a reconcile will apply them");
  }

  #oldestUnapplied(): number {
    let oldest = Number.POSITIVE_INFINITY;
    for (const { updates } of this.#queues.values()) oldest = Math.min(oldest, updates[0]?.sequence ?? oldest);
    return oldest;
  }

  async #drain(eventId: string, queue: EventQueue): Promise<void> {
    const { signal } = this.#abort;
    let failures = 0;
    while (queue.updates.length > 0) {
      // Updates that arrive in the same turn of the event loop are applied together.
      await Promise.resolve();
      if (signal.aborted) return;
      const batch = nextBatch(queue);
      const isTried = batch.length > 0 && (await this.#try(eventId, queue, batch));
      if (isTried) {
        failures = 0;
        continue;
      }
      if (batch.length > 0) {
        await this.#wait(Math.min(FIRST_RETRY_MS * 2 ** failures++, LONGEST_RETRY_MS));
        continue;
      }
      // All waiting updates failed because of defects. A new update of another user is applied before they are
      // retried.
      const isTime = await this.#wait(LONGEST_RETRY_MS, queue);
      if (isTime) queue.stuckUsers.clear();
    }
    this.#queues.delete(eventId);
  }

  // Returns true if the whole time has passed. Returns false if the stop or, for a queue, a new update has ended the
  // wait.
  #wait(ms: number, queue?: EventQueue): Promise<boolean> {
    const { signal } = this.#abort;
    if (signal.aborted) return Promise.resolve(false);
    return new Promise((resolve) => {
      const end = (isTime: boolean) => {
        clearTimeout(timer);
        signal.removeEventListener("abort", wake);
        if (queue !== undefined) queue.wake = undefined;
        resolve(isTime);
      };
      const wake = () => end(false);
      const timer = setTimeout(() => end(true), ms);
      signal.addEventListener("abort", wake);
      if (queue !== undefined) queue.wake = wake;
    });
  }

  // Returns false if the store cannot apply the batch now. Returns true if it has, or if the next attempt may
  // differ.
  async #try(eventId: string, queue: EventQueue, batch: readonly QueuedUpdate[]): Promise<boolean> {
    try {
      await this.#apply(eventId, batch);
    } catch (error) {
      this.#noteFailure(eventId, queue, batch, error);
      if (isUnavailable(error)) return false;
      // Finds the update that the defect concerns, so that the other updates can be applied.
      if (batch.length === 1) queue.stuckUsers.add(batch[0]?.userId ?? "");
      queue.batchSize = 1;
      return true;
    }
    if (queue.stuckUsers.size > 0) {
      const applied = new Set(batch);
      queue.updates = queue.updates.filter((update) => !applied.has(update));
    } else {
      queue.updates.splice(0, batch.length);
      this.#noteRecovery(eventId, queue);
    }
    return true;
  }

  #noteFailure(eventId: string, queue: EventQueue, batch: readonly QueuedUpdate[], error: unknown): void {
    const { failing } = queue;
    const isRepeated = failing !== undefined && isUnavailable(failing.error) === isUnavailable(error);
    queue.failing = {
      sinceMs: failing?.sinceMs ?? performance.now(),
      error: error instanceof Error ? error : new Error(String(error)),
      isRefused: failing?.isRefused === true || errorReplyOf(error) !== undefined,
    };
    const context = { err: error, eventId, updates: batch.length, userId: batch[0]?.userId };
    if (isRepeated) this.#logger.debug(context, "updates still not applied, will retry");
    else if (isUnavailable(error)) this.#logger.warn(context, "updates not applied, will retry");
    else this.#logger.error(context, "updates not applied because of a defect, will retry");
  }

  #noteRecovery(eventId: string, queue: EventQueue): void {
    const { failing } = queue;
    if (failing === undefined) return;
    queue.failing = undefined;
    queue.batchSize = MAX_BATCH;
    const failedMs = Math.round(performance.now() - failing.sinceMs);
    this.#logger.info({ eventId, failedMs }, "updates are applied again");
    if (failing.isRefused) this.#requestReconcile();
  }

  async #apply(eventId: string, batch: readonly QueuedUpdate[]): Promise<void> {
    const outcomes = await this.#engine.applyMemberships(eventId, batch);
    this.counts.applied += batch.length;
    for (const [index, { foreignChannelIds, overLimit }] of outcomes.entries()) {
      const userId = batch[index]?.userId;
      if (overLimit !== undefined) {
        const channels = batch[index]?.channelIds.length;
        this.#logger.warn(
          { eventId, userId, limit: overLimit, channels },
          "channels of an update were not assigned because of a limit",
        );
      }
      if (foreignChannelIds.length === 0) continue;
      this.counts.foreign++;
      this.#logger.warn({ eventId, userId, foreignChannelIds }, "channels of another event in an update were ignored");
    }
  }
}

function nextBatch({ updates, stuckUsers, batchSize }: EventQueue): QueuedUpdate[] {
  if (stuckUsers.size === 0) return updates.slice(0, batchSize);
  return updates.filter(({ userId }) => !stuckUsers.has(userId)).slice(0, batchSize);
}
