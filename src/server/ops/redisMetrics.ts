import { Counter, type Registry } from "prom-client";
import type { RedisEngine } from "../../engine/redis/engine.js";
import { addLabelledCounter, addLabelledGauge } from "./metrics.js";

/** Registers the metrics of the connections to Redis. */
export function addRedisMetrics(
  registry: Registry,
  engine: Pick<RedisEngine, "subscribers" | "connectionStates" | "scriptErrors">,
): void {
  addLabelledGauge(
    registry,
    "squelch_redis_connected",
    "1 while a connection to Redis is ready, by what it is for",
    ["purpose"],
    () => [...engine.connectionStates()].map(([purpose, isReady]) => ({ labels: { purpose }, value: isReady ? 1 : 0 })),
  );
  const interruptions = new Counter({
    name: "squelch_subscription_interruptions_total",
    help: "Times that the connection of the subscriptions broke, or was opened anew because it was silent",
    registers: [registry],
  });
  for (const subscriber of engine.subscribers) subscriber.listen({ interrupted: () => interruptions.inc() });
  addLabelledCounter(
    registry,
    "squelch_redis_script_errors_total",
    "Scripts that failed or did not answer in time",
    ["script"],
    () => [...engine.scriptErrors].map(([script, value]) => ({ labels: { script }, value })),
  );
}
