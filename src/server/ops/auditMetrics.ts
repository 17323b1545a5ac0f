import type { Registry } from "prom-client";
import type { AuditTrail } from "./auditTrail.js";
import { addCounter } from "./metrics.js";

/** Registers the metrics of the audit trail. */
export function addAuditMetrics(registry: Registry, trail: AuditTrail): void {
  addCounter(
    registry,
    "squelch_audit_records_total",
    "Calls that were recorded in the audit trail",
    () => trail.recorded,
  );
  addCounter(
    registry,
    "squelch_audit_dropped_total",
    "Records that are only in the log because the store did not accept them in time",
    () => trail.dropped,
  );
}
