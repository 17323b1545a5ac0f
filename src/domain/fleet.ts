import { type EventRouters, expectedUntilMs, hasApplied } from "./applied.js";
import type { LogPosition } from "./cursor.js";

/** How long after its last report a replica counts as gone, ms. */
export const REPLICA_SILENCE_MS = 15_000;
/** The most events that a summary names in which a router is behind. */
const MAX_NAMED_LAGS = 100;

/** The report of a replica about itself. */
export interface ReplicaReport {
  /** Unique among all running replicas. */
  replicaId: string;
  version: string;
  grpcAddress: string;
  httpAddress: string;
  uptimeMs: number;
  feedHealthy: boolean;
  /** Time since the last probe proved that changes arrive, ms; undefined if none did. */
  feedAgeMs?: number | undefined;
  /** Why its feed is not healthy; undefined while it is healthy. */
  feedProblem?: string | undefined;
  /** How many WatchPermissions streams it serves. */
  watches: number;
  /** How many events it has loaded. */
  loadedEvents: number;
  /** The routers that have a watch open on it. */
  routerIds: string[];
}

/** The last report of a replica, and when it came, ms since 1970 by the store's clock. */
export interface KnownReplica extends ReplicaReport {
  seenMs: number;
}

/** The replicas that have reported lately. */
export interface Replicas {
  /** The store's clock, ms since 1970. */
  nowMs: number;
  replicas: KnownReplica[];
}

/** An event in which a router has not applied all changes. */
export interface RouterLag {
  eventId: string;
  /** The position up to which it has applied all changes of the current epoch; undefined if it has applied none. */
  position: LogPosition | undefined;
  /** The end of the log. */
  head: LogPosition;
}

/** A router with all its events. */
export interface RouterSummary {
  routerId: string;
  /** Ascending. */
  replicaIds: string[];
  /** When it last reported for any event, else when it began to watch; ms since 1970 by the store's clock. */
  seenMs: number;
  events: number;
  /** Ascending by event id. */
  behind: RouterLag[];
}

const compare = (a: string, b: string) => (a < b ? -1 : 1);

/**
 * Returns every router that callers wait for in some event, ascending by router id.
 *
 * @param events each event with its routers
 */
export function summariseRouters(
  events: readonly { eventId: string; read: EventRouters }[],
  replicas: readonly KnownReplica[],
): RouterSummary[] {
  const summaries = new Map<string, RouterSummary>();
  for (const { eventId, read } of events) {
    for (const router of read.routers) {
      if (expectedUntilMs(router) <= read.nowMs) continue;
      const { routerId, position, seenMs } = router;
      const summary = summaries.get(routerId) ?? { routerId, replicaIds: [], seenMs, events: 0, behind: [] };
      summaries.set(routerId, summary);
      summary.events++;
      summary.seenMs = Math.max(summary.seenMs, seenMs);
      const head = read.position;
      if (head === undefined || hasApplied(router, head)) continue;
      summary.behind.push({ eventId, head, position: position?.epoch === head.epoch ? position : undefined });
    }
  }
  for (const { replicaId, routerIds } of replicas) {
    for (const routerId of routerIds) summaries.get(routerId)?.replicaIds.push(replicaId);
  }
  for (const summary of summaries.values()) {
    summary.replicaIds.sort();
    summary.behind = summary.behind.sort((a, b) => compare(a.eventId, b.eventId)).slice(0, MAX_NAMED_LAGS);
  }
  return [...summaries.values()].sort((a, b) => compare(a.routerId, b.routerId));
}
