import type { Engine } from "../../domain/ports/engine.js";
import type { Unsubscribe } from "../../domain/ports/unsubscribe.js";
import type { Logger } from "../../lib/logger.js";

/** How often the store is asked to uphold a standing pause, ms. The store skips requests that come too soon. */
const UPHOLD_INTERVAL_MS = 50;
/** The wait before a failed listing of the standing pauses is repeated, ms. */
const RETRY_MS = 1_000;

/**
 * Upholds every pause of the fleet until its end has been announced, whether or not its event is loaded on this replica.
 * Every replica does this for every pause, so that no pause depends on one replica.
 */
export class PauseKeeper {
  readonly #engine: Engine;
  readonly #logger: Logger;
  /** The paused events, with the number of pauses that were reported for each. */
  readonly #paused = new Map<string, number>();
  /** Paused events with a failure that was already logged as a warning. */
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
      // Finds pauses that were made while this replica received no changes.
      engine.onFeedRestored(() => void this.#upholdAll()),
    ];
  }

  /** Starts to uphold the pause of an event. Idempotent. */
  uphold(eventId: string): void {
    if (this.#isClosed) return;
    const reported = this.#paused.get(eventId);
    this.#paused.set(eventId, (reported ?? 0) + 1);
    if (reported === undefined) this.#upholdLater(eventId);
  }

  /** True while a pause of the event is being upheld. */
  isUpholding(eventId: string): boolean {
    return this.#paused.has(eventId);
  }

  close(): void {
    this.#isClosed = true;
    for (const stop of this.#stop.splice(0)) stop();
    clearTimeout(this.#retry);
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
    this.#paused.clear();
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
    const reported = this.#paused.get(eventId);
    let stands = true;
    try {
      stands = await this.#engine.upholdPause(eventId);
      this.#failing.delete(eventId);
    } catch (error) {
      // Warns once per failure, because this runs twenty times a second.
      const level = this.#failing.has(eventId) ? "debug" : "warn";
      this.#failing.add(eventId);
      this.#logger[level]({ err: error, eventId }, "pause could not be upheld, will try again");
    }
    // Another pause may have been reported while this one was found to be over.
    if (stands || this.#paused.get(eventId) !== reported) this.#upholdLater(eventId);
    else {
      this.#paused.delete(eventId);
      this.#timers.delete(eventId);
    }
  }
}
