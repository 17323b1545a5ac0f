import { status } from "@grpc/grpc-js";
import type { Tracing } from "../../ops/tracing.js";
import { aroundAnswer, type Interceptor } from "../call.js";
import { toStatus } from "../status.js";

/** Sends a span for each call that answers. A watch has no span, because it may last for days. */
export function trace(tracing: Tracing): Interceptor {
  return (method, call) => {
    if (call.kind === "watch") return call;
    return aroundAnswer(call, async ({ head }, work) => {
      const span = tracing.begin(method.parent.typeName, method.name, head.callId, head.traceparent);
      try {
        const answer = await work();
        span.end(status.OK);
        return answer;
      } catch (error) {
        const { code, details } = toStatus(error);
        span.end(code, details);
        throw error;
      }
    });
  };
}
