import { refusal } from "../../domain/errors.js";
import type { Identity } from "../../domain/identity.js";
import type { CallContext, Caller, CallHead } from "./callContext.js";
import type { Endings } from "./shutdown.js";

/** One call from its admission to its end: its caller, its time, and what ends it early. */
export class OngoingCall implements CallContext {
  readonly head: CallHead;
  readonly identity: Identity;
  readonly #endings: Endings;
  /** By `performance.now()`; Infinity if the client waits for ever. */
  readonly #clientGivesUpMs: number;
  #answerBeforeMs = Number.POSITIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;
  #isOver = false;
  #reason: unknown;
  #reject: ((reason: unknown) => void) | undefined;
  #abort: AbortController | undefined;

  /**
   * @param clientWaitsMs how long the client waits for the answer, from now; Infinity if it set no deadline
   * @param endings the streams and calls that a shutdown ends
   */
  constructor({ head, identity }: Caller, clientWaitsMs: number, endings: Endings) {
    this.head = head;
    this.identity = identity;
    this.#clientGivesUpMs = performance.now() + clientWaitsMs;
    this.#endings = endings;
  }

  get actor(): string {
    return this.identity.name;
  }

  get callId(): string {
    return this.head.callId;
  }

  get answerBeforeMs(): number {
    return this.#answerBeforeMs;
  }

  // Few calls need a signal, and an AbortController costs more than all the rest of this class: it is made on demand.
  get signal(): AbortSignal {
    if (this.#abort === undefined) {
      this.#abort = new AbortController();
      if (this.#isOver) this.#abort.abort(this.#reason);
      else this.endAtShutdown();
    }
    return this.#abort.signal;
  }

  /**
   * Lets the time of the call run from now on: `longestMs`, or less if the client gives up earlier. The call ends early
   * enough for the failure to reach the client before it gives up.
   */
  startTimer(longestMs: number): void {
    const nowMs = performance.now();
    const leftMs = Math.min(longestMs, this.#clientGivesUpMs - nowMs);
    // Leaves time for a last read of the store, and for the answer to arrive.
    this.#answerBeforeMs = nowMs + leftMs - Math.min(300, leftMs / 4);
    const clientLeftMs = this.#clientGivesUpMs - nowMs;
    const budgetMs = Math.min(longestMs, clientLeftMs - Math.min(100, clientLeftMs / 10));
    const message = "the store did not answer in time; the outcome is unknown, try again";
    this.#timer = setTimeout(
      () => this.end(refusal("STORE_UNAVAILABLE", message, { outcome: "unknown" })),
      Math.max(budgetMs, 0),
    );
  }

  /** From now on a shutdown of the replica ends the call. */
  endAtShutdown(): void {
    if (!this.#isOver) this.#endings.add(this.end);
  }

  /** From now on a shutdown of the replica lets the call finish. */
  finishAtShutdown(): void {
    this.#endings.delete(this.end);
  }

  /** Ends the call early: it fails with `reason`. Does nothing once the call is over. */
  readonly end = (reason: unknown): void => {
    if (this.#isOver) return;
    this.#reason = reason;
    this.#reject?.(reason);
    this.#finish();
  };

  /** @throws the reason for which the call was ended early */
  throwIfEnded(): void {
    if (this.#isOver) throw this.#reason;
  }

  /**
   * Does the work of the call. Afterwards the call is over. Rejects as soon as the call is ended early. Work that ignores
   * `signal` then continues, and its result is lost.
   */
  async run<Result>(work: () => Promise<Result>): Promise<Result> {
    this.throwIfEnded();
    try {
      return await new Promise<Result>((resolve, reject) => {
        this.#reject = reject;
        work().then(resolve, reject);
      });
    } finally {
      // Stops remaining work for this call.
      this.#finish();
    }
  }

  #finish(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearTimeout(this.#timer);
    this.#endings.delete(this.end);
    this.#abort?.abort(this.#reason);
  }
}
