import type { Engine } from "../../domain/ports/engine.js";
import type { Unsubscribe } from "../../domain/ports/unsubscribe.js";
import type { Logger } from "../../lib/logger.js";
import { SharedRun } from "../../lib/sharedRun.js";

/** How often it is looked for bans that others have written, and for ends of which no word has come, ms. */
const LOOK_INTERVAL_MS = 10_000;
/** How long after the end of a ban it is looked at: the store's clock has to be past it. */
const MARGIN_MS = 5;
/** The wait before a look that failed is repeated. */
const RETRY_MS = 500;

/**
 * Sees to it that the log of one event tells of the bans that hold in it, and of the end of each in time. Every replica
 * that has the event loaded does this; the store tells each once.
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

  /** Follows the bans of the event, and tells what is untold. Rejects with `unavailable`; then it is closed. */
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

  /** Looks for what is untold, again later if the store cannot be reached. */
  look(): void {
    this.#looks.run().catch((error: unknown) => {
      this.#logger.warn({ err: error, eventId: this.#eventId }, "bans could not be looked at, will try again");
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
