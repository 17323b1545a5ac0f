import type { DescMethod } from "@bufbuild/protobuf";
import type { Logger } from "../../lib/logger.js";
import type { Authenticator } from "../auth/authenticator.js";
import type { CallerLimits } from "../auth/callerLimits.js";
import type { CallMetrics } from "../ops/callMetrics.js";
import type { Tracing } from "../ops/tracing.js";
import type { Interceptor, ServedCall } from "./call.js";
import { audit, type Recording } from "./interceptors/audit.js";
import { authorize } from "./interceptors/authorize.js";
import { bound } from "./interceptors/bound.js";
import { createAdmission, keepIdentified } from "./interceptors/identify.js";
import { limit } from "./interceptors/limit.js";
import { measure } from "./interceptors/measure.js";
import { trace } from "./interceptors/trace.js";
import type { Serving } from "./serving.js";
import type { Shutdown } from "./shutdown.js";

/** The parts that the interceptors use. */
export interface CallParts {
  authenticator: Authenticator;
  limits: CallerLimits;
  recording: Recording;
  metrics: CallMetrics;
  /** Undefined if calls are not traced. */
  tracing: Tracing | undefined;
  shutdown: Shutdown;
  logger: Logger;
}

/**
 * Builds the calls of the gRPC server and the HTTP server: the way of every call, from its headers to its handler.
 *
 * @param implemented the call of each method, without interceptors
 */
export function serveCalls(
  implemented: ReadonlyMap<DescMethod, ServedCall>,
  { authenticator, limits, recording, metrics, tracing, shutdown, logger }: CallParts,
): Serving {
  // A server calls this first, before it reads the message of a call. It identifies the caller.
  const admit = createAdmission(authenticator, recording, metrics, shutdown);
  // Then the call passes these interceptors, from the outside in, on its way to the handler.
  const interceptors: readonly Interceptor[] = [
    ...(tracing === undefined ? [] : [trace(tracing)]),
    measure(metrics),
    bound(shutdown.endings),
    limit(limits),
    keepIdentified(authenticator),
    // Outside of `authorize`, so that calls without the right are recorded, too.
    audit(recording),
    authorize(recording.eventOf),
  ];
  const wrap = (method: DescMethod, call: ServedCall) =>
    interceptors.reduceRight((inner, intercept) => intercept(method, inner), call);
  const served = new Map([...implemented].map(([method, call]) => [method, wrap(method, call)]));
  return {
    admit,
    calls(method) {
      const call = served.get(method);
      if (call === undefined) throw new Error(`${method.name} belongs to none of the served services`);
      return call;
    },
    shutdown,
    logger,
  };
}
