import type { DescMethod } from "@bufbuild/protobuf";
import type { Authenticator } from "../../auth/authenticator.js";
import type { CallMetrics } from "../../ops/callMetrics.js";
import { aroundAnswer, type Interceptor } from "../call.js";
import { type Caller, type CallHead, checkCallId } from "../callContext.js";
import type { Shutdown } from "../shutdown.js";
import { toStatus } from "../status.js";
import { type Recording, recordUnidentified } from "./audit.js";
import { isWaitingCall } from "./bound.js";

/** Identifies the caller of a call. Rejects if the call must not be served. */
export type Admit = (method: DescMethod, head: CallHead) => Promise<Caller>;

/**
 * Identifies the caller of each call, once. Servers ask it before they read the message of a call, because a message of
 * 4 MiB costs memory, and to decode it may take seconds. A call that is refused here reaches no interceptor: this function
 * counts and records it.
 */
export function createAdmission(
  authenticator: Authenticator,
  recording: Recording,
  metrics: CallMetrics,
  shutdown: Shutdown,
): Admit {
  return async (method, head) => {
    shutdown.refuseIfBegun();
    try {
      const identity = await authenticator.identify(head);
      checkCallId(head);
      return { head, identity };
    } catch (error) {
      recordUnidentified(method, head, error, recording);
      metrics.count(method.name, toStatus(error).code);
      throw error;
    }
  };
}

/** Ends streams and waiting calls when the identity of their caller is no longer proven, for example because a token expires. */
export function keepIdentified(authenticator: Authenticator): Interceptor {
  return ({ localName }, call) => {
    if (call.kind === "watch") {
      return {
        kind: "watch",
        open(request, ongoing, sink, fail) {
          const watch = call.open(request, ongoing, sink, fail);
          const unguard = authenticator.guard(ongoing.head, ongoing.identity, fail);
          return {
            opened: watch.opened,
            close() {
              unguard();
              watch.close();
            },
          };
        },
      };
    }
    if (call.kind === "unary" && !isWaitingCall(localName)) return call;
    return aroundAnswer(call, async ({ head, identity, end }, work) => {
      const unguard = authenticator.guard(head, identity, end);
      try {
        return await work();
      } finally {
        unguard();
      }
    });
  };
}
