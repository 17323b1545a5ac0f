import { status } from "@grpc/grpc-js";
import { Counter, Histogram, type Registry } from "prom-client";

/** Records the status with which a call ended. Only the first call of it counts. */
export type EndCall = (code: status) => void;

/** Counts calls. */
export interface CallMetrics {
  /** Call it when a unary call begins. The call is counted and timed at its end. */
  begin(method: string): EndCall;
  /** Call it when a server stream begins. The stream is counted at its end. */
  beginStream(method: string): EndCall;
}

const DURATION_BUCKETS_S = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5];

/** Registers the metrics of the gRPC calls. */
export function addCallMetrics(registry: Registry): CallMetrics {
  const calls = new Counter({
    name: "squelch_rpc_calls_total",
    help: "Calls that ended, by method and gRPC status; a watch counts when it ends",
    labelNames: ["method", "code"],
    registers: [registry],
  });
  const durations = new Histogram({
    name: "squelch_rpc_duration_seconds",
    help: "How long calls took; watches are left out",
    labelNames: ["method"],
    buckets: DURATION_BUCKETS_S,
    registers: [registry],
  });

  function onEnd(method: string, ended: () => void): EndCall {
    let isOver = false;
    return (code) => {
      if (isOver) return;
      isOver = true;
      calls.labels(method, status[code]).inc();
      ended();
    };
  }

  return {
    begin(method) {
      const startedMs = performance.now();
      return onEnd(method, () => durations.labels(method).observe((performance.now() - startedMs) / 1_000));
    },
    beginStream: (method) => onEnd(method, () => undefined),
  };
}
