import type { Registry } from "prom-client";
import { addCounter, addGauge, addLabelledCounter } from "./metrics.js";

/** The values of the ingest that its metrics expose. */
export interface MeasuredIngest {
  readonly ingest: {
    readonly counts: { applied: number; dropped: number; foreign: number; unplaced: number };
    queued(): { updates: number; oldestMs: number };
  };
  readonly sync: { readonly malformedCount: number };
  readonly watermark: { readonly lagMs: number | undefined };
  readonly reconciler: {
    readonly counts: { done: number; failed: number; changed: number; ambiguous: number };
  };
}

/** Registers the metrics of the control plane's updates and of reconciles. */
export function addIngestMetrics(registry: Registry, { ingest, sync, watermark, reconciler }: MeasuredIngest): void {
  const { counts } = ingest;
  addLabelledCounter(
    registry,
    "squelch_ingest_updates_total",
    "Messages of the control plane: applied (here or already), dropped, malformed, or unplaced before the first ticket",
    ["outcome"],
    () => [
      { labels: { outcome: "applied" }, value: counts.applied },
      { labels: { outcome: "dropped" }, value: counts.dropped },
      { labels: { outcome: "malformed" }, value: sync.malformedCount },
      { labels: { outcome: "unplaced" }, value: counts.unplaced },
    ],
  );
  addCounter(
    registry,
    "squelch_ingest_foreign_updates_total",
    "Applied updates that named a channel of another event; that channel was ignored",
    () => counts.foreign,
  );
  addGauge(registry, "squelch_ingest_queued_updates", "Updates that wait", () => ingest.queued().updates);
  addGauge(
    registry,
    "squelch_ingest_oldest_queued_seconds",
    "How long the oldest waiting update has waited",
    () => ingest.queued().oldestMs / 1_000,
  );
  addGauge(
    registry,
    "squelch_ingest_watermark_lag_seconds",
    "How far the watermark of the fleet is behind the newest ticket; no value while the subscription is down or no replica has set the watermark",
    () => (watermark.lagMs === undefined ? undefined : watermark.lagMs / 1_000),
  );
  addLabelledCounter(registry, "squelch_reconciles_total", "Reconciles that this replica ran", ["outcome"], () => [
    { labels: { outcome: "done" }, value: reconciler.counts.done },
    { labels: { outcome: "failed" }, value: reconciler.counts.failed },
  ]);
  addCounter(
    registry,
    "squelch_reconcile_changed_users_total",
    "Users whose channels a reconcile changed",
    () => reconciler.counts.changed,
  );
  addCounter(
    registry,
    "squelch_reconcile_ambiguous_users_total",
    "Users that a reconcile left unchanged because the control plane's keys gave no clear answer",
    () => reconciler.counts.ambiguous,
  );
}
