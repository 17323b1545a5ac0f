import { setTimeout as sleep } from "node:timers/promises";
import type { Position } from "../../domain/cursor.js";
import { isUnavailable } from "../../domain/errors.js";
import type { Engine } from "../../domain/ports/engine.js";
import type { MembershipUpdate } from "../../domain/ports/membershipStore.js";
import type { Logger } from "../../lib/logger.js";

/** Updates that are applied in one step. */
const MAX_BATCH = 100;
/** Updates of one event that wait at most. */
const MAX_QUEUED_UPDATES = 10_000;
/** The wait before a batch of unknown outcome is applied again, ms. */
const RETRY_MS = 500;
/** Goes into the log as the actor of what the control plane published. */
const ACTOR = "control-plane";

/** Counted since the start. */
export interface IngestCounts {
  applied: number;
  /** Updates that the store refused for good, or that found a full queue. */
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

/** A ticket, and the last message before it. */
interface SeenTicket {
  generation: number;
  sequence: number;
}

/**
 * Applies the control plane's updates to the store: in order within an event, in batches when it is busy, again after
 * an unknown outcome. One event that fails holds up no other.
 */
export class Ingest {
  readonly counts: IngestCounts = { applied: 0, dropped: 0, foreign: 0, unplaced: 0 };
  readonly #engine: Engine;
  readonly #logger: Logger;
  readonly #reopen: () => void;
  readonly #queues = new Map<string, QueuedUpdate[]>();
  readonly #abort = new AbortController();
  #sequence = 0;
  #openedAt: number | undefined;
  #newestTicket: SeenTicket | undefined;
  // The ticket that waits for what came before it to be applied, and the last one for which it was.
  #awaitedTicket: SeenTicket | undefined;
  #appliedThrough: number | undefined;

  /** @param reopen opens the subscription anew: what a full queue has dropped is then made up for */
  constructor(engine: Engine, reopen: () => void, logger: Logger) {
    this.#engine = engine;
    this.#reopen = reopen;
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
      updates += queue.length;
      oldestMs = Math.max(oldestMs, now - (queue[0]?.acceptedMs ?? now));
    }
    return { updates, oldestMs };
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
      this.#queues.set(eventId, [positioned]);
      void this.#drain(eventId);
    } else if (queue.length < MAX_QUEUED_UPDATES) {
      queue.push(positioned);
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

  /** What still waits is not applied. */
  stop(): void {
    this.#abort.abort();
  }

  #oldestUnapplied(): number {
    let oldest = Number.POSITIVE_INFINITY;
    for (const [first] of this.#queues.values()) oldest = Math.min(oldest, first?.sequence ?? oldest);
    return oldest;
  }

  async #drain(eventId: string): Promise<void> {
    const queue = this.#queues.get(eventId) ?? [];
    while (queue.length > 0 && !this.#abort.signal.aborted) {
      // Updates of the same turn of the event loop go together.
      await Promise.resolve();
      const batch = queue.slice(0, MAX_BATCH);
      await this.#apply(eventId, batch);
      queue.splice(0, batch.length);
    }
    this.#queues.delete(eventId);
  }

  async #apply(eventId: string, batch: readonly QueuedUpdate[]): Promise<void> {
    for (;;) {
      try {
        const outcomes = await this.#engine.applyMemberships(eventId, batch);
        this.counts.applied += batch.length;
        for (const [index, { foreignChannelIds, overLimit }] of outcomes.entries()) {
          const userId = batch[index]?.userId;
          if (overLimit !== undefined) {
            const channels = batch[index]?.channelIds.length;
            this.#logger.warn(
              { eventId, userId, limit: overLimit, channels },
              "a limit kept channels of an update out",
            );
          }
          if (foreignChannelIds.length === 0) continue;
          this.counts.foreign++;
          this.#logger.warn({ eventId, userId, foreignChannelIds }, "channels of another event left out of an update");
        }
        return;
      } catch (error) {
        if (!isUnavailable(error)) {
          await this.#applyOneByOne(eventId, batch, error);
          return;
        }
        this.#logger.warn({ err: error, eventId, updates: batch.length }, "updates not applied, will try again");
        await sleep(RETRY_MS, undefined, { signal: this.#abort.signal }).catch(() => undefined);
        if (this.#abort.signal.aborted) return;
      }
    }
  }

  // Finds the update that the store refuses, so that the others get through.
  async #applyOneByOne(eventId: string, batch: readonly QueuedUpdate[], error: unknown): Promise<void> {
    if (batch.length > 1) {
      for (const update of batch) await this.#apply(eventId, [update]);
      return;
    }
    this.counts.dropped++;
    this.#logger.error({ err: error, eventId, userId: batch[0]?.userId }, "update refused by the store");
  }
}
