import { createLogger } from "../../../src/lib/logger.js";
import { PermissionClient } from "../../../src/router/client/permissionClient.js";

/** Of every observed router. */
export const CHECKPOINT_INTERVAL_MS = 2_000;

/** A time without a stream. */
export interface Absence {
  /** ms of `performance.now`. */
  fromMs: number;
  /** Undefined while it lasts. */
  toMs: number | undefined;
  /** Events of which a snapshot came instead of a resume. */
  snapshots: number;
}

/** A PermissionClient, and how its stream has fared. */
export interface ObservedRouter {
  readonly client: PermissionClient;
  readonly absences: readonly Absence[];
  /** Changes that did not follow the one before, in words. */
  readonly breaches: readonly string[];
}

/**
 * Starts a client of all replicas that notes each absence, and each revision that does not follow.
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
