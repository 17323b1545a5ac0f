import { backoffMs } from "../../../lib/backoff.js";
import { UnfitServer } from "./unfitServer.js";

/** A connection that was ready for this long, and then was closed without an error, is opened anew at once, ms. */
const STOOD_MS = 1_000;
/** The wait before a name is resolved again that led to a replica of Redis, ms. */
const REPLICA_RETRY_MS = 500;
/** The wait before a server is examined again that does not go with its URL, ms. */
const MISCONFIGURED_RETRY_MS = 2_000;

/** Decides how long one connection waits before it is opened anew. */
export class RetryDelay {
  readonly #isGrowing: boolean;
  #failures = 0;
  #readyMs: number | undefined;
  #error: Error | undefined;
  #isLeft = false;

  /** @param isGrowing whether the wait grows from 1 s to 30 s; else it stays at 1 s */
  constructor(isGrowing: boolean) {
    this.#isGrowing = isGrowing;
  }

  /** The connection is ready. */
  noteReady(): void {
    this.#readyMs = performance.now();
    this.#failures = 0;
    this.#error = undefined;
  }

  /** The connection failed; its close follows. */
  noteError(error: Error): void {
    this.#error = error;
  }

  /** The connection is given up here, for another server. */
  noteLeave(): void {
    this.#isLeft = true;
  }

  /** The connection was closed. Returns the wait before the next attempt, ms. */
  nextMs(): number {
    const hasStood = this.#readyMs !== undefined && performance.now() - this.#readyMs >= STOOD_MS;
    const isOrderly = hasStood || this.#isLeft;
    const error = this.#error;
    this.#readyMs = undefined;
    this.#error = undefined;
    this.#isLeft = false;
    if (error instanceof UnfitServer) return error.kind === "replica" ? REPLICA_RETRY_MS : MISCONFIGURED_RETRY_MS;
    if (isOrderly && error === undefined) return 0;
    this.#failures++;
    return backoffMs(this.#isGrowing ? this.#failures : 1);
  }
}
