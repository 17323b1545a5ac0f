import { setTimeout as sleep } from "node:timers/promises";
import type { MethodName } from "../../contract.js";
import type { Interceptor } from "../call.js";
import type { OngoingCall } from "../ongoingCall.js";
import type { Endings } from "../shutdown.js";

/** The longest time for a call, ms. */
const CALL_BUDGET_MS = 2_000;
/** The longest time for calls that wait for something, or that have more work the larger the fleet is, ms. */
const LONG_CALL_BUDGETS_MS: { readonly [Name in MethodName]?: number } = {
  reconcileMemberships: 60_000,
  // The longest wait, and the time to read the store before and after it.
  awaitApplied: 65_000,
};

/**
 * How long a client stream that has ended may still turn out to be cancelled, ms. Clients on Node.js end a stream before
 * they reset it, in two packets. A stream that was cancelled half way, or has run into its deadline, therefore looks
 * complete at first.
 */
const END_GRACE_MS = 100;

/** Unary calls that wait for something to happen. */
const WAITING_CALLS: ReadonlySet<string> = new Set<MethodName>(["awaitApplied"]);

/** True for a unary call that is open without work, like a stream: it counts as a stream of its caller. */
export function isWaitingCall(localName: string): boolean {
  return WAITING_CALLS.has(localName);
}

/**
 * Ends each call in time: an answer at its deadline, or at once when its client cancels it, a client stream or a watch when
 * the replica shuts down.
 */
export function bound(endings: Endings): Interceptor {
  return ({ localName }, call) => {
    const longestMs = LONG_CALL_BUDGETS_MS[localName as MethodName] ?? CALL_BUDGET_MS;
    switch (call.kind) {
      case "unary":
        return {
          kind: "unary",
          handle(request, ongoing) {
            ongoing.startTimer(longestMs);
            return ongoing.run(() => call.handle(request, ongoing));
          },
        };
      case "clientStream":
        return {
          kind: "clientStream",
          handle(requests, ongoing) {
            ongoing.endAtShutdown();
            return ongoing.run(() => call.handle(readToEnd(requests, ongoing, longestMs), ongoing));
          },
        };
      case "watch":
        return {
          kind: "watch",
          open(request, ongoing, sink, fail) {
            const watch = call.open(request, ongoing, sink, fail);
            endings.add(fail);
            return {
              opened: watch.opened,
              close() {
                endings.delete(fail);
                watch.close();
              },
            };
          },
        };
    }
  };
}

// A client stream may break or be ended at any moment before its end, and then its handler never sees the end. The time of
// the call runs from the end on.
async function* readToEnd(
  requests: AsyncIterable<unknown>,
  ongoing: OngoingCall,
  longestMs: number,
): AsyncGenerator<unknown> {
  try {
    yield* requests;
  } catch (error) {
    // A call that was ended breaks its stream, too.
    ongoing.throwIfEnded();
    throw error;
  }
  await sleep(END_GRACE_MS);
  ongoing.throwIfEnded();
  ongoing.finishAtShutdown();
  ongoing.startTimer(longestMs);
}
