import type { Engine, FloorNews, RunningLease, Unsubscribe } from "../../domain/ports.js";
import type { Logger } from "../../lib/logger.js";

/** How long after the end of a lease it is looked at: the store's clock has to be past it. */
const MARGIN_MS = 5;
/** The wait before ends that could not be announced are tried again. */
const RETRY_MS = 500;

/**
 * Sees to it that the end of every lease of one event is announced in time. It follows who speaks and sleeps until the
 * earliest end. Renewals are not told, so what it takes for an end may be none: the store knows, and says until when the
 * lease now runs. Every replica that has the event loaded does this; the store announces each end once.
 */
export class LeaseWatch {
  readonly #eventId: string;
  readonly #engine: Engine;
  readonly #logger: Logger;
  /** By channel: when to look at its lease, ms of `performance.now()`. One that was given back may still be there. */
  readonly #ends = new Map<string, number>();
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

  /** True while leases run, as far as is known. */
  get isBusy(): boolean {
    return this.#ends.size > 0;
  }

  /** Starts to follow the event, and announces what ended before. Rejects with `unavailable`; then it is closed. */
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

  /** News may have been missed: the next `synchronise` asks for all leases. */
  doubt(): void {
    this.#isInSync = false;
  }

  /** Asks for all leases of the event, if news of some may have been missed. Rejects with `unavailable`. */
  async synchronise(): Promise<void> {
    if (this.#isInSync) return;
    this.#isInSync = true;
    try {
      this.#noteRunning(await this.#engine.endLeases(this.#eventId));
    } catch (error) {
      this.#isInSync = false;
      throw error;
    }
  }

  close(): void {
    this.#isClosed = true;
    this.#unfollow?.();
    clearTimeout(this.#timer);
    this.#ends.clear();
  }

  #receive({ timeMs, changes }: FloorNews): void {
    for (const { channelId, holder, hasLease } of changes) {
      if (holder !== undefined && hasLease) this.#note(channelId, holder.expiresAtMs - timeMs);
      else this.#ends.delete(channelId);
    }
  }

  #noteRunning(leases: readonly RunningLease[]): void {
    for (const { channelId, remainingMs } of leases) this.#note(channelId, remainingMs);
  }

  #note(channelId: string, remainingMs: number): void {
    const endMs = performance.now() + remainingMs + MARGIN_MS;
    this.#ends.set(channelId, endMs);
    this.#wakeAt(endMs);
  }

  #wakeAt(timeMs: number): void {
    if (this.#isClosed || timeMs >= this.#wakesAtMs) return;
    clearTimeout(this.#timer);
    this.#wakesAtMs = timeMs;
    this.#timer = setTimeout(() => void this.#wake(), Math.max(timeMs - performance.now(), 0));
  }

  async #wake(): Promise<void> {
    const now = performance.now();
    const due = [...this.#ends].filter(([, endMs]) => endMs <= now);
    this.#wakesAtMs = Number.POSITIVE_INFINITY;
    for (const endMs of this.#ends.values()) if (endMs > now) this.#wakeAt(endMs);
    if (due.length > 0) await this.#end(due);
  }

  async #end(due: readonly (readonly [channelId: string, endMs: number])[]): Promise<void> {
    try {
      const channelIds = due.map(([channelId]) => channelId);
      const running = await this.#engine.endLeases(this.#eventId, channelIds);
      // Unless news of a later lease has come meanwhile.
      for (const [channelId, endMs] of due) if (this.#ends.get(channelId) === endMs) this.#ends.delete(channelId);
      this.#noteRunning(running);
    } catch (error) {
      this.#logger.warn({ err: error, eventId: this.#eventId }, "ends of leases not announced, will try again");
      this.#wakeAt(performance.now() + RETRY_MS);
    }
  }
}
