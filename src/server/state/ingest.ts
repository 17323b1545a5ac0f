import type { Position } from "../../domain/cursor.js";
import { isUnavailable } from "../../domain/errors.js";
import type { Engine } from "../../domain/ports/engine.js";
import type { MembershipUpdate } from "../../domain/ports/membershipStore.js";
import { errorReplyOf } from "../../engine/redis/connection/errorReplies.js";
import type { Logger } from "../../lib/logger.js";

/** Updates that are applied in one step. */
const MAX_BATCH = 100;
/** Updates of one event that wait at most. */
const MAX_QUEUED_UPDATES = 10_000;
/** The first wait before updates are applied again, ms; each wait in a row is twice as long, up to the longest. */
const FIRST_RETRY_MS = 250;
const LONGEST_RETRY_MS = 2_000;
/** How long updates may be refused before the replica says that it cannot apply them, ms. */
const PROBLEM_AFTER_MS = 3_000;
/** Goes into the log as the actor of what the control plane published. */
const ACTOR = "control-plane";

/** Counted since the start. */
export interface IngestCounts {
  applied: number;
  /** Updates that found a full queue, or that still waited at the stop. A reconcile makes up for them. */
  dropped: number;
  /** Updates that named a channel of another event. */
  foreign: number;
  /** Updates that came before the first ticket of a connection, so that they have no place in the order. */
  unplaced: number;
}

interface QueuedUpdate extends MembershipUpdate {
  /** The number of the message among all that were accepted. */
  sequence: number;
  /** By the monotonic clock. */
  acceptedMs: number;
}

/** The updates of one event that wait, in their order. */
interface EventQueue {
  updates: QueuedUpdate[];
  /** Users with an update that a defect keeps from being judged: their updates wait, those of others pass them. */
  stuckUsers: Set<string>;
  /** How many updates go together: one, while the update behind a failure is looked for. */
  batchSize: number;
  /** Ends the wait of a queue in which all updates are stuck. */
  wake?: (() => void) | undefined;
  /** While updates cannot be applied: since when, by the monotonic clock, and whether Redis answered with an error. */
  failing?: { sinceMs: number; error: Error; isRefused: boolean } | undefined;
}

/** A ticket, and the last message before it. */
interface SeenTicket {
  generation: number;
  sequence: number;
}

/**
 * Applies the control plane's updates to the store: in order within an event, in batches when it is busy. Only the
 * script in the store passes an update over. Whatever else happens to an update, it waits and is applied again. An event
 * that fails delays no other event.
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
  // The ticket that waits for what came before it to be applied, and the last one for which it was.
  #awaitedTicket: SeenTicket | undefined;
  #appliedThrough: number | undefined;

  /**
   * @param reopen opens the subscription anew: what a full queue has dropped is then made up for
   * @param requestReconcile has everything compared with the control plane's keys, after updates were refused
   */
  constructor(engine: Engine, reopen: () => void, requestReconcile: () => void, logger: Logger) {
    this.#engine = engine;
    this.#reopen = reopen;
    this.#requestReconcile = requestReconcile;
    this.#logger = logger;
  }

  /** The ticket at which the unbroken subscription began; undefined while there is none. */
  get openedAt(): number | undefined {
    return this.#openedAt;
  }

  /** The newest ticket that came through the unbroken subscription; undefined while there is none. */
  get newestTicket(): number | undefined {
    return this.#newestTicket?.generation;
  }

  /** How many updates wait, and for how long the oldest of them has, ms. */
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

  /** Why updates are not applied, if the store has refused those of an event for some seconds; else undefined. */
  problem(): string | undefined {
    const refusedBeforeMs = performance.now() - PROBLEM_AFTER_MS;
    for (const { failing } of this.#queues.values()) {
      if (failing === undefined || failing.sinceMs > refusedBeforeMs) continue;
      const { isRefused, error } = failing;
      // A defect concerns a single user, so that another replica would not do better.
      if (isRefused && isUnavailable(error)) return `updates of the control plane wait: ${error.message}`;
    }
    return undefined;
  }

  /** A ticket before which all updates since `openedAt` have been applied; undefined if there is none yet. */
  appliedThrough(): number | undefined {
    this.#awaitedTicket ??= this.#newestTicket;
    if (this.#awaitedTicket === undefined || this.#oldestUnapplied() <= this.#awaitedTicket.sequence) {
      return this.#appliedThrough;
    }
    this.#appliedThrough = this.#awaitedTicket.generation;
    this.#awaitedTicket = undefined;
    return this.#appliedThrough;
  }

  /** A ticket has come through the subscription. */
  acceptTicket(generation: number): void {
    this.#openedAt ??= generation;
    this.#newestTicket = { generation, sequence: this.#sequence };
  }

  /** The subscription is broken: messages may be missing from now on. */
  interrupt(): void {
    this.#openedAt = undefined;
    this.#newestTicket = undefined;
    this.#awaitedTicket = undefined;
    this.#appliedThrough = undefined;
  }

  /** Takes an update over; what it comes to is logged and counted. */
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
        "update dropped, opening the subscription anew: too many wait",
      );
      if (this.#openedAt === undefined) return;
      this.interrupt();
      this.#reopen();
    }
  }

  /**
   * What still waits is not applied. The watermark has not passed it: unless another replica applies it, the next
   * subscription finds the gap and reconciles.
   */
  stop(): void {
    if (this.#abort.signal.aborted) return;
    this.#abort.abort();
    const { updates } = this.queued();
    if (updates === 0) return;
    this.counts.dropped += updates;
    this.#logger.warn({ updates }, "stopped while updates waited, they are left to other replicas or a reconcile");
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
      // Updates of the same turn of the event loop go together.
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
      // All that wait are stuck: until it is time to try them again, an update of another user comes first.
      const isTime = await this.#wait(LONGEST_RETRY_MS, queue);
      if (isTime) queue.stuckUsers.clear();
    }
    this.#queues.delete(eventId);
  }

  // True if the whole time has passed; false if the stop or, where a queue is given, a new update has ended the wait.
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

  // False if the store cannot judge the batch now; true if it has, or if the next attempt may differ.
  async #try(eventId: string, queue: EventQueue, batch: readonly QueuedUpdate[]): Promise<boolean> {
    try {
      await this.#apply(eventId, batch);
    } catch (error) {
      this.#noteFailure(eventId, queue, batch, error);
      if (isUnavailable(error)) return false;
      // Finds the update that the defect concerns, so that the others get through.
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
    if (isRepeated) this.#logger.debug(context, "updates still not applied, will try again");
    else if (isUnavailable(error)) this.#logger.warn(context, "updates not applied, will try again");
    else this.#logger.error(context, "updates not applied because of a defect, will try again");
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
        this.#logger.warn({ eventId, userId, limit: overLimit, channels }, "a limit kept channels of an update out");
      }
      if (foreignChannelIds.length === 0) continue;
      this.counts.foreign++;
      this.#logger.warn({ eventId, userId, foreignChannelIds }, "channels of another event left out of an update");
    }
  }
}

function nextBatch({ updates, stuckUsers, batchSize }: EventQueue): QueuedUpdate[] {
  if (stuckUsers.size === 0) return updates.slice(0, batchSize);
  return updates.filter(({ userId }) => !stuckUsers.has(userId)).slice(0, batchSize);
}
