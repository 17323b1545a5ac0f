import type { Engine } from "../../domain/ports/engine.js";
import type { Unsubscribe } from "../../domain/ports/unsubscribe.js";
import type { Logger } from "../../lib/logger.js";

/** How often the store is asked to uphold a standing pause, ms; it sees to it that many replicas are no more work. */
const UPHOLD_INTERVAL_MS = 50;
/** The wait before the standing pauses are asked for again after a failure, ms. */
const RETRY_MS = 1_000;

/**
 * Sees to it that every pause of the fleet is upheld, from when it is made until its end has been announced, whether or
 * not its event is loaded here. Every replica does this for every pause, so that the end of a replica ends none of it.
 */
export class PauseKeeper {
  readonly #engine: Engine;
  readonly #logger: Logger;
  /** Events that are upheld, with how often a pause in them was heard of. */
  readonly #heard = new Map<string, number>();
  /** Those of which it was said that the last look failed. */
  readonly #failing = new Set<string>();
  readonly #timers = new Map<string, NodeJS.Timeout>();
  readonly #stop: Unsubscribe[];
  #retry: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(engine: Engine, logger: Logger) {
    this.#engine = engine;
    this.#logger = logger;
    this.#stop = [
      engine.onPause((eventId) => this.uphold(eventId)),
      // Pauses that were made before this replica could hear of them.
      engine.onFeedRestored(() => void this.#upholdAll()),
    ];
  }

  /** A pause was made in the event. Idempotent. */
  uphold(eventId: string): void {
    if (this.#isClosed) return;
    const heard = this.#heard.get(eventId);
    this.#heard.set(eventId, (heard ?? 0) + 1);
    if (heard === undefined) this.#upholdLater(eventId);
  }

  /** True while a pause in the event is looked after. */
  isUpholding(eventId: string): boolean {
    return this.#heard.has(eventId);
  }

  close(): void {
    this.#isClosed = true;
    for (const stop of this.#stop.splice(0)) stop();
    clearTimeout(this.#retry);
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
    this.#heard.clear();
  }

  async #upholdAll(): Promise<void> {
    clearTimeout(this.#retry);
    try {
      for (const eventId of await this.#engine.listPausedEvents()) this.uphold(eventId);
    } catch (error) {
      this.#logger.warn({ err: error }, "pauses could not be listed, will try again");
      if (!this.#isClosed) this.#retry = setTimeout(() => void this.#upholdAll(), RETRY_MS);
    }
  }

  #upholdLater(eventId: string): void {
    if (this.#isClosed) return;
    this.#timers.set(
      eventId,
      setTimeout(() => void this.#upholdNow(eventId), UPHOLD_INTERVAL_MS),
    );
  }

  async #upholdNow(eventId: string): Promise<void> {
    const heard = this.#heard.get(eventId);
    let stands = true;
    try {
      stands = await this.#engine.upholdPause(eventId);
      this.#failing.delete(eventId);
    } catch (error) {
      // Said once: it is tried twenty times a second.
      const level = this.#failing.has(eventId) ? "debug" : "warn";
      this.#failing.add(eventId);
      this.#logger[level]({ err: error, eventId }, "pause could not be upheld, will try again");
    }
    // Another pause may have been made since this one was found to be over.
    if (stands || this.#heard.get(eventId) !== heard) this.#upholdLater(eventId);
    else {
      this.#heard.delete(eventId);
      this.#timers.delete(eventId);
    }
  }
}
