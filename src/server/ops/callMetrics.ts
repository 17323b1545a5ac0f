import { status } from "@grpc/grpc-js";
import { Counter, Histogram, type Registry } from "prom-client";

/** The metrics of calls. */
export interface CallMetrics {
  /** Counts a call that has ended. */
  count(method: string, code: status): void;
  /** Adds the duration of a call that has answered, ms. */
  observe(method: string, durationMs: number): void;
}

const DURATION_BUCKETS_S = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5];

/** Registers the metrics of calls over gRPC and HTTP. */
export function addCallMetrics(registry: Registry): CallMetrics {
  const calls = new Counter({
    name: "squelch_rpc_calls_total",
    help: "Calls that ended, by method and gRPC status; a watch counts when it ends",
    labelNames: ["method", "code"],
    registers: [registry],
  });
  const durations = new Histogram({
    name: "squelch_rpc_duration_seconds",
    help: "Duration of calls without watches",
    labelNames: ["method"],
    buckets: DURATION_BUCKETS_S,
    registers: [registry],
  });

  return {
    count: (method, code) => calls.labels(method, status[code]).inc(),
    observe: (method, durationMs) => durations.labels(method).observe(durationMs / 1_000),
  };
}
