import { status } from "@grpc/grpc-js";
import type { CallMetrics } from "../../ops/callMetrics.js";
import { aroundAnswer, type Interceptor } from "../call.js";
import { toStatus } from "../status.js";

/**
 * Counts each call at its end by its gRPC status, and times each call that answers. A watch that its client closes counts
 * as cancelled.
 */
export function measure(metrics: CallMetrics): Interceptor {
  return ({ name }, call) => {
    if (call.kind !== "watch") {
      return aroundAnswer(call, async (_, work) => {
        const startedMs = performance.now();
        let code = status.OK;
        try {
          return await work();
        } catch (error) {
          ({ code } = toStatus(error));
          throw error;
        } finally {
          metrics.count(name, code);
          metrics.observe(name, performance.now() - startedMs);
        }
      });
    }
    return {
      kind: "watch",
      open(request, ongoing, sink, fail) {
        let isCounted = false;
        const count = (code: status) => {
          if (!isCounted) metrics.count(name, code);
          isCounted = true;
        };
        const countFailure = (error: unknown) => count(toStatus(error).code);
        try {
          const watch = call.open(request, ongoing, sink, (error) => {
            countFailure(error);
            fail(error);
          });
          return {
            opened: watch.opened.catch((error: unknown) => {
              countFailure(error);
              throw error;
            }),
            close() {
              count(status.CANCELLED);
              watch.close();
            },
          };
        } catch (error) {
          countFailure(error);
          throw error;
        }
      },
    };
  };
}
