import { setTimeout as sleep } from "node:timers/promises";
import { refusal, type SquelchError } from "../../domain/errors.js";
import type { Logger } from "../../lib/logger.js";

/** The time between the ends of two streams, ms; shorter if there are so many streams that this would take too long. */
const ENDING_INTERVAL_MS = 20;
/** The share of the drain time that may pass until the last stream is ended. The rest is for calls to finish. */
const ENDING_SHARE = 0.5;

/** The open streams and the calls that wait: each entry ends one of them with the error that it is given. */
export type Endings = Set<(error: SquelchError) => void>;

/** The shutdown of a replica, as its calls see it. */
export class Shutdown {
  readonly endings: Endings = new Set();
  #hasBegun = false;

  get hasBegun(): boolean {
    return this.#hasBegun;
  }

  begin(): void {
    this.#hasBegun = true;
  }

  /** @throws SquelchError `unavailable` if a call has come too late */
  refuseIfBegun(): void {
    if (this.#hasBegun) throw shuttingDown();
  }

  /**
   * Ends all streams one after another, evenly spread over a part of the drain time, so that their clients do not all go to
   * the other replicas at the same moment. Streams that open in the meantime are ended as well.
   */
  async endStreams(drainTimeoutMs: number, logger: Logger): Promise<void> {
    const { endings } = this;
    const spreadMs = Math.min(endings.size * ENDING_INTERVAL_MS, drainTimeoutMs * ENDING_SHARE);
    logger.info({ streams: endings.size, spreadMs }, "draining");
    // A timer waits at least 1 ms. After a late turn, the following turns still keep their distance.
    const endingsPerTurn = Math.ceil(endings.size / spreadMs);
    const turnMs = (spreadMs * endingsPerTurn) / endings.size;
    const error = shuttingDown();
    let ended = 0;
    for (const end of endings) {
      if (ended > 0 && ended % endingsPerTurn === 0) await sleep(turnMs);
      // The stream may have ended during the sleep.
      if (endings.has(end)) end(error);
      endings.delete(end);
      ended++;
    }
  }
}

// Clients may reconnect at once, because the ends of their streams are already spread.
function shuttingDown(): SquelchError {
  return refusal("DRAINING", "the replica is shutting down; reconnect", {}, { retryAfterMs: 0 });
}
