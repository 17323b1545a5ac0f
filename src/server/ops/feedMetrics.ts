import { Histogram, type Registry } from "prom-client";
import { SnapshotReason } from "../../../gen/squelch/v1/permission_service_pb.js";
import type { FeedHealth } from "../../domain/ports/engine.js";
import { FeedCounts } from "./feedCounts.js";
import { addCounter, addGauge, addLabelledCounter } from "./metrics.js";

/** The values of a replica that the feed metrics expose. */
export interface FeedSource {
  readonly counts: FeedCounts;
  readonly loadedEvents: number;
  readonly health: FeedHealth;
}

const LAG_BUCKETS_S = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/** Creates the counts for the feeds of one replica. Their lag is registered as a histogram. */
export function createFeedCounts(registry: Registry): FeedCounts {
  const lag = new Histogram({
    name: "squelch_change_lag_seconds",
    help: "Time from the acceptance of a change, by the clock of Redis, to its flush to the watchers, by the local clock; measured once per flush",
    buckets: LAG_BUCKETS_S,
    registers: [registry],
  });
  return new FeedCounts((seconds) => lag.observe(seconds));
}

/** Registers the metrics of feeds and watchers. */
export function addFeedMetrics(registry: Registry, source: FeedSource): void {
  const { counts } = source;
  addGauge(registry, "squelch_feed_healthy", "1 while it is proven that changes from the store arrive", () =>
    source.health.healthy ? 1 : 0,
  );
  addGauge(registry, "squelch_feed_age_seconds", "Time since the last probe came back; none before the first", () => {
    const { ageMs } = source.health;
    return ageMs === undefined ? undefined : ageMs / 1_000;
  });
  addGauge(registry, "squelch_watchers", "Watches that are open", () => counts.watchers);
  addGauge(registry, "squelch_loaded_events", "Events in memory", () => source.loadedEvents);
  addCounter(registry, "squelch_deliveries_total", "Messages written to watchers", () => counts.deliveries);
  addCounter(
    registry,
    "squelch_delivered_changes_total",
    "Changes written to watchers, counted once for each watcher",
    () => counts.deliveredChanges,
  );
  addCounter(registry, "squelch_resumes_total", "Events that a watch resumed from its cursor", () => counts.resumes);
  addLabelledCounter(
    registry,
    "squelch_snapshots_total",
    "Snapshots begun for a watcher, by the reason that is sent to it",
    ["reason"],
    () => [
      { labels: { reason: "initial" }, value: counts.snapshots[SnapshotReason.INITIAL] },
      { labels: { reason: "cursor_too_old" }, value: counts.snapshots[SnapshotReason.CURSOR_TOO_OLD] },
      { labels: { reason: "store_reset" }, value: counts.snapshots[SnapshotReason.STORE_RESET] },
    ],
  );
  addCounter(
    registry,
    "squelch_feed_gaps_total",
    "Published changes that did not follow the newest one, after which the log was read",
    () => counts.gaps,
  );
  addLabelledCounter(
    registry,
    "squelch_event_reloads_total",
    "Loaded events whose state was read again: for a new epoch, or a gap that the log could not fill",
    ["reason"],
    () => [
      { labels: { reason: "epoch" }, value: counts.reloads.epoch },
      { labels: { reason: "log" }, value: counts.reloads.log },
    ],
  );
}
