import { hasScope } from "../../../domain/identity.js";
import type { CallerLimits } from "../../auth/callerLimits.js";
import type { MethodName } from "../../contract.js";
import { aroundAnswer, type Interceptor } from "../call.js";
import type { OngoingCall } from "../ongoingCall.js";
import { isWaitingCall } from "./bound.js";

/** Calls of an emergency. They must not fail because a router has just made a call for each of its clients. */
const URGENT_CALLS: ReadonlySet<string> = new Set<MethodName>(["pauseAllSpeakers", "resumeSpeakers", "disconnectUser"]);

/**
 * Rejects the calls of a caller who makes too many, and the streams of a caller who has too many open. A unary call that
 * waits counts as a stream. Callers who may pause are exempt in an emergency.
 */
export function limit(limits: CallerLimits): Interceptor {
  return ({ localName }, call) => {
    const isUrgent = URGENT_CALLS.has(localName);
    const takeCall = ({ identity }: OngoingCall) => {
      if (!isUrgent || !hasScope(identity, ["pause"])) limits.takeCall(identity);
    };
    if (call.kind === "watch") {
      return {
        kind: "watch",
        open(request, ongoing, sink, fail) {
          takeCall(ongoing);
          const release = limits.openStream(ongoing.identity);
          try {
            const watch = call.open(request, ongoing, sink, fail);
            return {
              opened: watch.opened,
              close() {
                release();
                watch.close();
              },
            };
          } catch (error) {
            release();
            throw error;
          }
        },
      };
    }
    const countsAsStream = call.kind === "clientStream" || isWaitingCall(localName);
    return aroundAnswer(call, async (ongoing, work) => {
      takeCall(ongoing);
      const release = countsAsStream ? limits.openStream(ongoing.identity) : undefined;
      try {
        return await work();
      } finally {
        release?.();
      }
    });
  };
}
