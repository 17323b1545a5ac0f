import type { Registry } from "prom-client";
import { addLabelledCounter } from "./metrics.js";

/** Registers what the limits of callers have refused. */
export function addLimitMetrics(registry: Registry, refused: Readonly<Record<"streams" | "calls", number>>): void {
  addLabelledCounter(
    registry,
    "squelch_limit_refusals_total",
    "Calls and streams that were one too many for their caller, by limit",
    ["limit"],
    () => Object.entries(refused).map(([limit, value]) => ({ labels: { limit }, value })),
  );
}
