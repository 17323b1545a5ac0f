import { setTimeout as sleep } from "node:timers/promises";
import type { DescMethod } from "@bufbuild/protobuf";
import { PermissionService } from "../../../gen/squelch/v1/permission_service_pb.js";
import { SquelchError } from "../../domain/errors.js";

/** The longest time for a call, ms. */
const CALL_BUDGET_MS = 2_000;
/** The same for calls whose work grows with the fleet, or that wait, ms. */
const LONG_CALL_BUDGETS_MS = new Map<DescMethod, number>([
  [PermissionService.method.reconcileMemberships, 60_000],
  // The longest wait, and what it needs of the store.
  [PermissionService.method.awaitApplied, 65_000],
]);

/**
 * How long a client stream that has ended may still turn out to be cancelled, ms. Clients on Node.js end a stream
 * before they reset it, in two packets, so that one that was cancelled half way, or ran into its deadline, looks
 * complete at first.
 */
const END_GRACE_MS = 100;

/** The time that a call may take. */
export class CallBudget {
  /** Gives the call up at once. */
  fail!: (error: SquelchError) => void;
  readonly #failed = new Promise<never>((_, reject) => {
    this.fail = reject;
  });
  readonly #longestMs: number;
  #timer: NodeJS.Timeout | undefined;

  constructor(method: DescMethod) {
    this.#longestMs = LONG_CALL_BUDGETS_MS.get(method) ?? CALL_BUDGET_MS;
  }

  /** Lets the time run, less what the answer needs to arrive before the client gives up. `spendOn` has to follow. */
  start(remainingMs: number): void {
    const budgetMs = Math.min(this.#longestMs, remainingMs - Math.min(100, remainingMs / 10));
    const message = "the store did not answer in time; the outcome is unknown, try again";
    this.#timer = setTimeout(() => this.fail(new SquelchError("unavailable", message)), Math.max(budgetMs, 0));
  }

  /** Rejects with `unavailable` when the time is up; the work goes on then, and what it comes to is lost. */
  async spendOn<T>(work: Promise<T>): Promise<T> {
    try {
      return await Promise.race([work, this.#failed]);
    } finally {
      clearTimeout(this.#timer);
    }
  }
}

/** When a call that waits must answer so that there is time for a last look at the store, and for the answer to arrive. */
export function answerBefore(remainingMs: number): number {
  return performance.now() + remainingMs - Math.min(300, remainingMs / 4);
}

/** The requests of a client stream. Throws if the stream breaks before its end; `onEnd` is called there. */
export async function* readToEnd(
  requests: AsyncIterable<unknown>,
  isCancelled: () => boolean,
  onEnd: () => void,
): AsyncGenerator<unknown> {
  yield* requests;
  await sleep(END_GRACE_MS);
  if (isCancelled()) throw new Error("the stream was cancelled");
  onEnd();
}
