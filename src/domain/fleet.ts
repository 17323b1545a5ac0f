import { type EventRouters, expectedUntilMs, hasApplied } from "./applied.js";
import type { LogPosition } from "./cursor.js";

/** A replica of which nothing was heard for this long is taken for gone, ms. */
export const REPLICA_SILENCE_MS = 15_000;
/** How many of the events in which a router is behind are named. */
const MAX_NAMED_LAGS = 100;

/** What a replica says of itself. */
export interface ReplicaReport {
  /** Its own among all that run. */
  replicaId: string;
  version: string;
  grpcAddress: string;
  httpAddress: string;
  uptimeMs: number;
  feedHealthy: boolean;
  /** Time since changes were last proven to arrive; undefined if they never were. */
  feedAgeMs?: number | undefined;
  /** Why its feed is not healthy; undefined while it is. */
  feedProblem?: string | undefined;
  /** Its open watches of permissions. */
  watches: number;
  /** The events that it holds in memory. */
  loadedEvents: number;
  /** The routers that have a watch open at it. */
  routerIds: string[];
}

/** What a replica last said, and when, ms since 1970 by the store's clock. */
export interface KnownReplica extends ReplicaReport {
  seenMs: number;
}

/** The replicas of whom something was heard lately. */
export interface Replicas {
  /** The store's clock, ms since 1970. */
  nowMs: number;
  replicas: KnownReplica[];
}

/** One event in which a router has not confirmed everything. */
export interface RouterLag {
  eventId: string;
  /** Up to where it has acted in the present epoch; undefined if nowhere. */
  position: LogPosition | undefined;
  /** The end of the log. */
  head: LogPosition;
}

/** One router in all its events. */
export interface RouterSummary {
  routerId: string;
  /** Ascending. */
  replicaIds: string[];
  /** When it last reported in any event, else when it was first held; ms since 1970 by the store's clock. */
  seenMs: number;
  events: number;
  /** By event id ascending. */
  behind: RouterLag[];
}

const compare = (a: string, b: string) => (a < b ? -1 : 1);

/**
 * Every router that is waited for in some event, by router id ascending.
 *
 * @param events each with its routers as read
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
