import type { Engine } from "../../domain/ports/engine.js";
import type { Unsubscribe } from "../../domain/ports/unsubscribe.js";
import type { Logger } from "../../lib/logger.js";
import { SharedRun } from "../../lib/sharedRun.js";

/** The longest time between two checks, ms. It finds bans that other programs wrote, and ends that were not announced. */
const LOOK_INTERVAL_MS = 10_000;
/** How long after the end of a ban it is checked, ms, so that the store's clock is past the end. */
const MARGIN_MS = 5;
/** The wait before a failed check is repeated, ms. */
const RETRY_MS = 500;

/**
 * Keeps the log of one event complete about bans: every ban in effect and, in time, its end. Redis sends no notification
 * when a ban ends, so a timer waits for it. Every replica that has the event loaded does this, and the store appends each
 * change once.
 */
export class BanKeeper {
  readonly #eventId: string;
  readonly #engine: Engine;
  readonly #logger: Logger;
  readonly #looks = new SharedRun(() => this.#look());
  #timer: NodeJS.Timeout | undefined;
  #unfollow: Unsubscribe | undefined;
  #isClosed = false;

  constructor(eventId: string, engine: Engine, logger: Logger) {
    this.#eventId = eventId;
    this.#engine = engine;
    this.#logger = logger;
  }

  /** Follows the bans of the event and announces the changes that are missing in the log. If it rejects with `unavailable`, it is closed. */
  async open(): Promise<void> {
    try {
      this.#unfollow = await this.#engine.followBans(this.#eventId, () => this.look());
      if (this.#isClosed) this.#unfollow();
      else await this.#looks.run();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Announces the changes that are missing in the log. Retries later if the store cannot be reached. */
  look(): void {
    this.#looks.run().catch((error: unknown) => {
      this.#logger.warn({ err: error, eventId: this.#eventId }, "bans could not be checked, will try again");
      this.#lookAfter(RETRY_MS);
    });
  }

  close(): void {
    this.#isClosed = true;
    this.#unfollow?.();
    clearTimeout(this.#timer);
  }

  async #look(): Promise<void> {
    if (this.#isClosed) return;
    const remainingMs = await this.#engine.settleBans(this.#eventId);
    this.#lookAfter(Math.min(remainingMs === undefined ? LOOK_INTERVAL_MS : remainingMs + MARGIN_MS, LOOK_INTERVAL_MS));
  }

  #lookAfter(waitMs: number): void {
    clearTimeout(this.#timer);
    if (!this.#isClosed) this.#timer = setTimeout(() => this.look(), waitMs);
  }
}
