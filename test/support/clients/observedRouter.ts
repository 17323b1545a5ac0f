import { createLogger } from "../../../src/lib/logger.js";
import { PermissionClient } from "../../../src/router/client/permissionClient.js";

/** The checkpoint interval of every observed router. */
export const CHECKPOINT_INTERVAL_MS = 2_000;

/** A period without a stream. */
export interface Absence {
  /** ms of `performance.now`. */
  fromMs: number;
  /** Undefined while it lasts. */
  toMs: number | undefined;
  /** The number of events that got a snapshot instead of a resume. */
  snapshots: number;
}

/** A PermissionClient, with the history of its stream. */
export interface ObservedRouter {
  readonly client: PermissionClient;
  readonly absences: readonly Absence[];
  /** Descriptions of changes that did not follow the one before. */
  readonly breaches: readonly string[];
}

/**
 * Starts a client of all replicas that records each period without a stream, and each revision that does not follow the
 * one before.
 *
 * @param eventIds all events if empty
 */
export function observeRouter(
  routerId: string,
  addresses: readonly string[],
  eventIds: readonly string[] = [],
): ObservedRouter {
  const client = new PermissionClient({
    address: addresses.join(","),
    routerId,
    eventIds,
    checkpointIntervalMs: CHECKPOINT_INTERVAL_MS,
    logger: createLogger(routerId, "silent"),
  });
  const absences: Absence[] = [];
  const breaches: string[] = [];
  const revisions = new Map<string, number>();
  client.on("change", ({ eventId, revision, action }) => {
    if (action === "snapshot") return;
    const before = revisions.get(eventId);
    if (before !== undefined && revision !== before + 1) breaches.push(`${eventId}: ${revision} after ${before}`);
    revisions.set(eventId, revision);
  });
  client.on("resynced", ({ eventId }) => {
    revisions.delete(eventId);
    const absence = absences.at(-1);
    if (absence !== undefined) absence.snapshots++;
  });
  client.on("stale", () => absences.push({ fromMs: performance.now(), toMs: undefined, snapshots: 0 }));
  client.on("fresh", () => {
    const absence = absences.at(-1);
    if (absence !== undefined) absence.toMs = performance.now();
  });
  client.start();
  return { client, absences, breaches };
}
