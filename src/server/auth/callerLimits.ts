import { refusal } from "../../domain/errors.js";
import type { Identity } from "../../domain/identity.js";
import type { ServerConfig } from "../configOptions.js";
import type { LimitRefusals } from "../ops/limitMetrics.js";

/** How many callers are kept before idle ones are removed. */
const MANY_CALLERS = 1_000;

interface Use {
  streams: number;
  /** The number of calls that the caller may make at this moment. */
  credit: number;
  creditedAtMs: number;
}

/**
 * Limits the open streams and the calls per second of each caller on this replica. The calls of one second may come at
 * once. A server without authentication cannot distinguish callers, and does not limit them.
 */
export class CallerLimits {
  readonly #refused: Pick<LimitRefusals, "streams" | "calls">;
  readonly #maxStreams: number;
  readonly #maxCallsPerS: number;
  readonly #uses = new Map<string, Use>();

  /** @param refused counts the rejected calls and streams */
  constructor(
    { maxStreams, maxCallsPerS }: Pick<ServerConfig, "maxStreams" | "maxCallsPerS">,
    refused: Pick<LimitRefusals, "streams" | "calls">,
  ) {
    this.#refused = refused;
    this.#maxStreams = maxStreams;
    this.#maxCallsPerS = maxCallsPerS;
  }

  /** Counts a call. @throws SquelchError `resourceExhausted` if it exceeds the limit */
  takeCall(identity: Identity): void {
    if (!identity.isProven) return;
    const use = this.#useOf(identity);
    if (use.credit < 1) {
      this.#refused.calls++;
      throw refusal(
        "RATE_LIMITED",
        `${identity.name} makes more than ${this.#maxCallsPerS} calls a second; call more slowly, or raise --max-calls`,
        { maxPerSecond: `${this.#maxCallsPerS}` },
        { retryAfterMs: Math.ceil(1_000 / this.#maxCallsPerS) },
      );
    }
    use.credit -= 1;
  }

  /**
   * Counts a stream until the returned function is called. That function is idempotent.
   *
   * @throws SquelchError `resourceExhausted` if it exceeds the limit
   */
  openStream(identity: Identity): () => void {
    if (!identity.isProven) return () => undefined;
    const use = this.#useOf(identity);
    if (use.streams >= this.#maxStreams) {
      this.#refused.streams++;
      throw refusal(
        "LIMIT_EXCEEDED",
        `${identity.name} has ${this.#maxStreams} streams open; close one, or raise --max-streams`,
        { limit: "streams_per_caller", max: `${this.#maxStreams}` },
      );
    }
    use.streams += 1;
    let isOpen = true;
    return () => {
      if (isOpen) use.streams -= 1;
      isOpen = false;
    };
  }

  #useOf({ name }: Identity): Use {
    const nowMs = performance.now();
    const use = this.#uses.get(name) ?? { streams: 0, credit: this.#maxCallsPerS, creditedAtMs: nowMs };
    const earned = ((nowMs - use.creditedAtMs) / 1_000) * this.#maxCallsPerS;
    use.credit = Math.min(use.credit + earned, this.#maxCallsPerS);
    use.creditedAtMs = nowMs;
    if (this.#uses.size >= MANY_CALLERS && !this.#uses.has(name)) this.#forgetIdle(nowMs);
    this.#uses.set(name, use);
    return use;
  }

  #forgetIdle(nowMs: number): void {
    for (const [name, { streams, creditedAtMs }] of this.#uses) {
      if (streams === 0 && nowMs - creditedAtMs > 1_000) this.#uses.delete(name);
    }
  }
}
