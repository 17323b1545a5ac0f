import type { DescMethod } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";
import type { Tracing } from "../../ops/tracing.js";
import type { Answer } from "../call.js";
import type { CallHead } from "../callContext.js";
import type { ServedCall } from "../services.js";
import { toStatus } from "../status.js";

/** The same call, with a span for each that answers; a watch, which may last for days, has none. */
export function traced(method: DescMethod, call: ServedCall, tracing: Tracing): ServedCall {
  async function spanned({ requestId, traceparent }: CallHead, work: () => Answer): Answer {
    const span = tracing.begin(method.parent.typeName, method.name, requestId, traceparent);
    try {
      const answer = await work();
      span.end(status.OK);
      return answer;
    } catch (error) {
      const { code, details } = toStatus(error);
      span.end(code, details);
      throw error;
    }
  }

  switch (call.kind) {
    case "unary":
      return { kind: "unary", handle: (request, head) => spanned(head, () => call.handle(request, head)) };
    case "wait":
      return {
        kind: "wait",
        handle: (request, head, bounds) => spanned(head, () => call.handle(request, head, bounds)),
      };
    case "clientStream":
      return { kind: "clientStream", handle: (requests, head) => spanned(head, () => call.handle(requests, head)) };
    case "watch":
      return call;
  }
}
