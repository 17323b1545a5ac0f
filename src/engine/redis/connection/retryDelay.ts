import { backoffMs } from "../../../lib/backoff.js";
import { errorReplyOf } from "./errorReplies.js";
import { UnfitServer } from "./unfitServer.js";

/** A connection is reopened at once if it was ready for at least this long and closed without an error, ms. */
const STOOD_MS = 1_000;
/** The wait before a name that led to a Redis replica is resolved again, ms. */
const REPLICA_RETRY_MS = 500;
/** The wait before a server that does not fit the URL is examined again, ms. */
const MISCONFIGURED_RETRY_MS = 2_000;

/**
 * Decides how long one connection waits before it is reopened. The wait grows while a server cannot be reached. A server
 * that rejects the connection with an error reply is reachable, so it is tried every second.
 */
export class RetryDelay {
  readonly #isGrowing: boolean;
  #failures = 0;
  #readyMs: number | undefined;
  #error: Error | undefined;
  #isRejected = false;
  #isLeft = false;

  /** @param isGrowing if true, the wait grows from 1 s to 30 s; otherwise it stays at 1 s */
  constructor(isGrowing: boolean) {
    this.#isGrowing = isGrowing;
  }

  /** Records that the connection is ready. */
  noteReady(): void {
    this.#readyMs = performance.now();
    this.#failures = 0;
    this.#error = undefined;
    this.#isRejected = false;
  }

  /** Records that the connection failed. Its close follows. */
  noteError(error: Error): void {
    this.#error = error;
    this.#isRejected ||= errorReplyOf(error) !== undefined;
  }

  /** Records that the caller closes the connection in order to find another server. */
  noteLeave(): void {
    this.#isLeft = true;
  }

  /** Records that the connection was closed. Returns the wait before the next attempt, ms. */
  nextMs(): number {
    const hasStood = this.#readyMs !== undefined && performance.now() - this.#readyMs >= STOOD_MS;
    const isOrderly = hasStood || this.#isLeft;
    const error = this.#error;
    const isRejected = this.#isRejected;
    this.#readyMs = undefined;
    this.#error = undefined;
    this.#isRejected = false;
    this.#isLeft = false;
    if (error instanceof UnfitServer) return error.kind === "replica" ? REPLICA_RETRY_MS : MISCONFIGURED_RETRY_MS;
    if (isOrderly && error === undefined) return 0;
    if (isRejected) return backoffMs(1);
    this.#failures++;
    return backoffMs(this.#isGrowing ? this.#failures : 1);
  }
}
