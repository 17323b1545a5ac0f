import { Counter, Histogram, type Registry } from "prom-client";
import type { RedisEngine } from "../../engine/redis/engine.js";
import type { ScriptObserver } from "../../engine/redis/scripts/scripts.js";
import { addLabelledCounter, addLabelledGauge } from "./metrics.js";

/** Registers the metrics of the connections to Redis. */
export function addRedisMetrics(
  registry: Registry,
  engine: Pick<RedisEngine, "subscribers" | "connectionStates" | "refusals">,
): void {
  addLabelledGauge(
    registry,
    "squelch_redis_connected",
    "1 while a connection to Redis is ready, by its purpose",
    ["purpose"],
    () => [...engine.connectionStates()].map(([purpose, isReady]) => ({ labels: { purpose }, value: isReady ? 1 : 0 })),
  );
  addLabelledGauge(
    registry,
    "squelch_redis_writes_refused",
    "1 while a Redis answers this replica's own writes with an error: that of the state, or that of the ingest if it is separate",
    ["redis"],
    () => engine.refusals().map(({ redis, isRefused }) => ({ labels: { redis }, value: isRefused ? 1 : 0 })),
  );
  addLabelledCounter(
    registry,
    "squelch_redis_refusals_total",
    "Periods in which a Redis rejected this replica's writes, by the code of the first error reply",
    ["redis", "code"],
    () =>
      engine
        .refusals()
        .flatMap(({ redis, counts }) => [...counts].map(([code, value]) => ({ labels: { redis, code }, value }))),
  );
  const interruptions = new Counter({
    name: "squelch_subscription_interruptions_total",
    help: "Times that the connection of the subscriptions broke, or was reopened because it was silent",
    registers: [registry],
  });
  for (const subscriber of engine.subscribers) subscriber.listen({ interrupted: () => interruptions.inc() });
}

const ROUND_TRIP_BUCKETS_S = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2];

/** Registers the metrics of the scripts. Call the returned function for each run of a script. */
export function addScriptMetrics(registry: Registry): ScriptObserver {
  const roundTrips = new Histogram({
    name: "squelch_redis_script_duration_seconds",
    help: "Round trips of scripts that answered, including the time in Redis",
    labelNames: ["script"],
    buckets: ROUND_TRIP_BUCKETS_S,
    registers: [registry],
  });
  const errors = new Counter({
    name: "squelch_redis_script_errors_total",
    help: "Scripts that failed or did not answer in time",
    labelNames: ["script"],
    registers: [registry],
  });
  return (script, seconds, hasFailed) => {
    if (hasFailed) errors.labels(script).inc();
    else roundTrips.labels(script).observe(seconds);
  };
}

/** Registers the metric of new epochs. Returns the function that counts one, by its reason. */
export function addEpochMetrics(registry: Registry): (reason: string) => void {
  const epochs = new Counter({
    name: "squelch_epochs_begun_total",
    help: "New epochs of events that this replica has begun, by the reason; the first epoch of an event does not count",
    labelNames: ["reason"],
    registers: [registry],
  });
  return (reason) => epochs.labels(reason).inc();
}
