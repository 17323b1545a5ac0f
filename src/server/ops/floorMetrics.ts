import { Counter, type Registry } from "prom-client";
import type { FloorDenyCause } from "../../domain/floor.js";
import type { Engine } from "../../domain/ports/engine.js";

const CAUSE_LABELS: Record<FloorDenyCause, string> = {
  anotherHasPermission: "another_has_permission",
  retryAfter: "retry_after",
  receiveOnly: "receive_only",
  queueFull: "queue_full",
};

/** Wraps an engine so that its floors and pauses are counted. */
export function countFloor(registry: Registry, engine: Engine): Engine {
  const grants = new Counter({
    name: "squelch_floor_grants_total",
    help: "Floors that this replica granted",
    registers: [registry],
  });
  const denials = new Counter({
    name: "squelch_floor_denials_total",
    help: "Floors that this replica denied, by cause",
    labelNames: ["cause"],
    registers: [registry],
  });
  const waits = new Counter({
    name: "squelch_floor_waits_total",
    help: "Floor requests that this replica queued, including retries of a waiting request",
    registers: [registry],
  });
  const pauses = new Counter({
    name: "squelch_pauses_total",
    help: "PauseAllSpeakers calls that succeeded on this replica, including retries of a request",
    registers: [registry],
  });
  for (const cause of Object.values(CAUSE_LABELS)) denials.labels(cause).inc(0);
  return {
    ...engine,
    async startPtt(request) {
      const outcome = await engine.startPtt(request);
      if (outcome.granted) grants.inc();
      else if (outcome.place) waits.inc();
      else denials.labels(CAUSE_LABELS[outcome.cause]).inc();
      return outcome;
    },
    async pauseAllSpeakers(request) {
      const outcome = await engine.pauseAllSpeakers(request);
      pauses.inc();
      return outcome;
    },
  };
}
