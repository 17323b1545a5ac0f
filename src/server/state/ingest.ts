import { setTimeout as sleep } from "node:timers/promises";
import type { Position } from "../../domain/cursor.js";
import { isUnavailable, refusal } from "../../domain/errors.js";
import type { Engine } from "../../domain/ports/engine.js";
import type { MembershipUpdate } from "../../domain/ports/membershipStore.js";
import { errorReplyOf } from "../../engine/redis/connection/errorReplies.js";
import type { Logger } from "../../lib/logger.js";
import { EarlyUpdates } from "./earlyUpdates.js";
import { type EventQueue, MAX_BATCH, nextBatch, type QueuedUpdate } from "./eventQueue.js";
import { markStaleKeys, type ReadAssignedChannels } from "./staleKeys.js";

/** The most updates of one event that wait. */
const MAX_QUEUED_UPDATES = 10_000;
/** Greater than the number of messages between two tickets. */
const EARLY_COUNT = Number.MAX_SAFE_INTEGER;
/** The first wait before updates are applied again, ms. Each following wait is twice as long, up to the longest. */
const FIRST_RETRY_MS = 250;
const LONGEST_RETRY_MS = 2_000;
/** The longest time that updates may be rejected before the replica reports that it cannot apply them, ms. */
const PROBLEM_AFTER_MS = 3_000;
/** The longest time until a ticket comes through the subscription, ms. */
const TICKET_TIMEOUT_MS = 1_000;
/** The longest time until updates that came before a ticket are applied, ms. */
const APPLY_TIMEOUT_MS = 2_000;
const POLL_MS = 20;
/** The actor in the log for changes that the control plane published. */
const ACTOR = "control-plane";

/** Counts of updates since the start of the replica. */
export interface IngestCounts {
  applied: number;
  /**
   * Updates that found a full queue, or that still waited at the stop. A reconcile repairs the missing changes.
   */
  dropped: number;
  /** Updates that named a channel of another event. */
  foreign: number;
  /**
   * Updates that came before the first ticket of a subscription, and for which no ticket came or too many waited. They
   * count as missed, so that the watermark does not pass them until another replica or a reconcile has applied them.
   */
  unplaced: number;
}

type ReceivedUpdate = Pick<MembershipUpdate, "userId" | "channelIds" | "action">;

/** Where the updates come from. */
export interface UpdateSource {
  /** Opens the subscription again, so that a reconcile repairs what a full queue has dropped. */
  reopen(): void;
  /** Requests a comparison with the control plane's keys, after updates were rejected. */
  requestReconcile(): void;
  /** True while the control plane's Redis rejects writes, as far as this replica knows. */
  isRefused(): boolean;
  readAssignedChannels: ReadAssignedChannels;
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
  readonly #source: UpdateSource;
  readonly #queues = new Map<string, EventQueue>();
  readonly #early = new EarlyUpdates();
  /** Ends the waits of the queues, so that all updates are tried again. */
  readonly #retries = new Set<() => void>();
  readonly #abort = new AbortController();
  #sequence = 0;
  #subscription = 0;
  #openedAt: number | undefined;
  #newestTicket: SeenTicket | undefined;
  // The ticket that waits until all earlier updates are applied, and the last ticket for which they were.
  #awaitedTicket: SeenTicket | undefined;
  #appliedThrough: number | undefined;

  constructor(engine: Engine, source: UpdateSource, logger: Logger) {
    this.#engine = engine;
    this.#source = source;
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
    // No ticket lies between these updates and this one. So they come after every write with a lower ticket, and each
    // replica that has received them gives them this position.
    const position = { generation: generation - 1, count: EARLY_COUNT };
    for (const { eventId, update, isUnderRefusal } of this.#early.take()) {
      this.accept(eventId, update, position, isUnderRefusal);
    }
    this.#openedAt ??= generation;
    this.#newestTicket = { generation, sequence: this.#sequence };
  }

  /** Handles a break of the subscription: messages may be missing from now on. */
  interrupt(): void {
    this.#countUnplaced(this.#early.take().length, "updates dropped, the subscription ended before its first ticket");
    this.#subscription++;
    this.#openedAt = undefined;
    this.#newestTicket = undefined;
    this.#awaitedTicket = undefined;
    this.#appliedThrough = undefined;
  }

  /** Keeps an update that came before the first ticket of the subscription. That ticket gives it a position. */
  acceptEarly(eventId: string, update: ReceivedUpdate): void {
    const isKept = this.#early.add({ eventId, update, isUnderRefusal: this.#source.isRefused() });
    if (!isKept) this.#countUnplaced(1, "update dropped because too many wait for a ticket");
  }

  /** Queues an update. Its outcome is logged and counted. */
  accept(
    eventId: string,
    { userId, channelIds, action }: ReceivedUpdate,
    position: Position,
    isUnderRefusal = this.#source.isRefused(),
  ): void {
    const queue = this.#queues.get(eventId);
    const acceptedMs = performance.now();
    const sequence = ++this.#sequence;
    const subscription = this.#subscription;
    const placed = { userId, channelIds, action, actor: ACTOR, position };
    const positioned = { ...placed, sequence, acceptedMs, subscription, isUnderRefusal };
    if (queue === undefined) {
      const created = { updates: [positioned], stuckUsers: new Set<string>(), batchSize: MAX_BATCH };
      this.#queues.set(eventId, created);
      void this.#drain(eventId, created);
    } else if (queue.updates.length < MAX_QUEUED_UPDATES) {
      queue.updates.push(positioned);
      queue.wake?.();
    } else {
      this.counts.dropped++;
      this.#logger.error({ eventId, userId }, "update dropped because too many wait, opening the subscription again");
      if (this.#openedAt === undefined) return;
      this.interrupt();
      this.#source.reopen();
    }
  }

  /** Applies all waiting updates now, because the store may accept them again. */
  retry(): void {
    for (const end of this.#retries) end();
  }

  /**
   * Resolves when the updates that this replica has received before a ticket are applied. A reconcile at that ticket would
   * otherwise make them outdated. Updates that wait because of a defect do not count. Rejects with `unavailable` after
   * 2 s, and with the reason of `signal` when it is aborted.
   *
   * @param userIds the users that matter; all by default
   */
  async awaitApplied(ticket: number, signal: AbortSignal, userIds?: readonly string[]): Promise<void> {
    const users = userIds && new Set(userIds);
    const isAwaited = ({ stuckUsers }: EventQueue, { userId, position }: QueuedUpdate) =>
      position.generation < ticket && !stuckUsers.has(userId) && (users?.has(userId) ?? true);
    const begunMs = performance.now();
    for (;;) {
      signal.throwIfAborted();
      const waitedMs = performance.now() - begunMs;
      const isSubscribed = this.#openedAt !== undefined || this.#early.size > 0;
      // The subscription delivers the ticket after everything that was published before it, unless it is broken.
      const isTicketDue =
        isSubscribed && (this.#newestTicket?.generation ?? 0) < ticket && waitedMs < TICKET_TIMEOUT_MS;
      const queues = [...this.#queues.values()];
      if (!isTicketDue && !queues.some((queue) => queue.updates.some((update) => isAwaited(queue, update)))) return;
      if (waitedMs > APPLY_TIMEOUT_MS) {
        const message = "updates of the control plane still wait to be applied; try again";
        throw refusal("STORE_UNAVAILABLE", message, { outcome: "notDone" });
      }
      await sleep(POLL_MS);
    }
  }

  /**
   * Stops applying updates. Waiting updates are not applied. The watermark has not passed them, so another replica
   * applies them, or the next subscription detects the gap and starts a reconcile.
   */
  stop(): void {
    if (this.#abort.signal.aborted) return;
    this.#abort.abort();
    this.#countUnplaced(this.#early.take().length, "updates dropped, the replica stopped before the first ticket");
    const { updates } = this.queued();
    if (updates === 0) return;
    this.counts.dropped += updates;
    this.#logger.warn({ updates }, "stopped while updates waited, other replicas or a reconcile will apply them");
  }

  #countUnplaced(updates: number, message: string): void {
    if (updates === 0) return;
    this.counts.unplaced += updates;
    this.#logger.warn({ updates }, message);
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

  // Returns true if the whole time has passed or a retry is requested. Returns false if the stop or, for a queue, a new update has ended the
  // wait.
  #wait(ms: number, queue?: EventQueue): Promise<boolean> {
    const { signal } = this.#abort;
    if (signal.aborted) return Promise.resolve(false);
    return new Promise((resolve) => {
      const end = (isTime: boolean) => {
        clearTimeout(timer);
        signal.removeEventListener("abort", wake);
        this.#retries.delete(retry);
        if (queue !== undefined) queue.wake = undefined;
        resolve(isTime);
      };
      const wake = () => end(false);
      const retry = () => end(true);
      this.#retries.add(retry);
      const timer = setTimeout(() => end(true), ms);
      signal.addEventListener("abort", wake);
      if (queue !== undefined) queue.wake = wake;
    });
  }

  // Returns false if the store cannot apply the batch now. Returns true if it has, or if the next attempt may
  // differ.
  async #try(eventId: string, queue: EventQueue, batch: readonly QueuedUpdate[]): Promise<boolean> {
    try {
      await this.#apply(eventId, await this.#withStaleKeys(queue, batch));
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
    if (failing.isRefused) this.#source.requestReconcile();
  }

  // After a break of the subscription a set may be newer than the update, because a later update may have been missed.
  async #withStaleKeys({ failing }: EventQueue, batch: readonly QueuedUpdate[]): Promise<readonly QueuedUpdate[]> {
    const isDoubtful = ({ isUnderRefusal, subscription }: QueuedUpdate) =>
      (isUnderRefusal || failing?.isRefused === true) && subscription === this.#subscription;
    if (!batch.some(isDoubtful)) return batch;
    const marked = await markStaleKeys(batch, this.#source.readAssignedChannels);
    return batch.map((update, index) => (isDoubtful(update) ? (marked[index] ?? update) : update));
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
