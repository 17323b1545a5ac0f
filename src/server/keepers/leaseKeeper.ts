import type { Engine } from "../../domain/ports/engine.js";
import type { DueLook, FloorNews } from "../../domain/ports/floorStore.js";
import type { Unsubscribe } from "../../domain/ports/unsubscribe.js";
import type { Logger } from "../../lib/logger.js";

/** How long after the expiry of a lease it is checked, ms, so that the store's clock is past the expiry. */
const MARGIN_MS = 5;
/** The wait before ends that could not be announced are tried again, ms. */
const RETRY_MS = 500;

/**
 * Announces expired leases and expired waiting requests of one event in time. It follows the changes of speakers and sleeps
 * until the earliest expiry. The store does not publish renewals, so a lease may still run then; the store answers when to
 * check it again. Every replica that has the event loaded does this, and the store announces each end once.
 */
export class LeaseKeeper {
  readonly #eventId: string;
  readonly #engine: Engine;
  readonly #logger: Logger;
  /** When to check each channel, by channel id, ms of `performance.now()`. */
  readonly #looks = new Map<string, number>();
  /** How many channels are being checked. */
  #looking = 0;
  #timer: NodeJS.Timeout | undefined;
  #wakesAtMs = Number.POSITIVE_INFINITY;
  #unfollow: Unsubscribe | undefined;
  #isInSync = false;
  #isClosed = false;

  constructor(eventId: string, engine: Engine, logger: Logger) {
    this.#eventId = eventId;
    this.#engine = engine;
    this.#logger = logger;
  }

  /** True while leases run or requests wait, as far as this replica knows. */
  get isBusy(): boolean {
    return this.#looks.size + this.#looking > 0;
  }

  /** Starts to follow the event, and announces the leases that have expired before. If it rejects with `unavailable`, it is closed. */
  async open(): Promise<void> {
    try {
      this.#unfollow = await this.#engine.followFloor(this.#eventId, (news) => this.#receive(news));
      if (this.#isClosed) this.#unfollow();
      else await this.synchronise();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Makes the next `synchronise` check all leases. Call it when news may have been missed. */
  doubt(): void {
    this.#isInSync = false;
  }

  /** Checks all leases of the event if news may have been missed. Rejects with `unavailable`. */
  async synchronise(): Promise<void> {
    if (this.#isInSync) return;
    this.#isInSync = true;
    try {
      this.#noteAll(await this.#engine.endLeases(this.#eventId));
    } catch (error) {
      this.#isInSync = false;
      throw error;
    }
  }

  close(): void {
    this.#isClosed = true;
    this.#unfollow?.();
    clearTimeout(this.#timer);
    this.#looks.clear();
  }

  #receive({ timeMs, changes }: FloorNews): void {
    for (const { channelId, holder, hasLease, lookAtMs } of changes) {
      if (holder !== undefined && hasLease) this.#note(channelId, holder.expiresAtMs - timeMs);
      else this.#looks.delete(channelId);
      if (lookAtMs !== undefined) this.#note(channelId, lookAtMs - timeMs);
    }
  }

  #noteAll(looks: readonly DueLook[]): void {
    for (const { channelId, remainingMs } of looks) this.#note(channelId, remainingMs);
  }

  // Keeps the earlier of two times: a check that is too early does no harm.
  #note(channelId: string, remainingMs: number): void {
    const atMs = performance.now() + remainingMs + MARGIN_MS;
    if (atMs >= (this.#looks.get(channelId) ?? Number.POSITIVE_INFINITY)) return;
    this.#looks.set(channelId, atMs);
    this.#wakeAt(atMs);
  }

  #wakeAt(timeMs: number): void {
    if (this.#isClosed || timeMs >= this.#wakesAtMs) return;
    clearTimeout(this.#timer);
    this.#wakesAtMs = timeMs;
    this.#timer = setTimeout(() => void this.#wake(), Math.max(timeMs - performance.now(), 0));
  }

  async #wake(): Promise<void> {
    const now = performance.now();
    const due = [...this.#looks].filter(([, atMs]) => atMs <= now).map(([channelId]) => channelId);
    for (const channelId of due) this.#looks.delete(channelId);
    this.#wakesAtMs = Number.POSITIVE_INFINITY;
    for (const atMs of this.#looks.values()) this.#wakeAt(atMs);
    if (due.length > 0) await this.#look(due);
  }

  async #look(channelIds: readonly string[]): Promise<void> {
    this.#looking += channelIds.length;
    try {
      this.#noteAll(await this.#engine.endLeases(this.#eventId, channelIds));
    } catch (error) {
      this.#logger.warn(
        { err: error, eventId: this.#eventId },
        "expired leases could not be announced, will try again",
      );
      if (!this.#isClosed) for (const channelId of channelIds) this.#note(channelId, RETRY_MS);
    } finally {
      this.#looking -= channelIds.length;
    }
  }
}
