import { batchesOf } from "../../../lib/batchesOf.js";

/** How many events one watch may name. */
export const MAX_WATCHED_EVENTS = 1_000;
/** Events that one watch loads at the same time. */
const LOAD_CONCURRENCY = 16;

/** A watch that is being opened or is open. */
export interface OpenWatch {
  /** Resolves when all events have been added; rejects with what makes the watch end. */
  opened: Promise<void>;
  /** Ends it. Idempotent. */
  close(): void;
}

/** Adds events to a watch, some at a time, until all are added or one fails. `add` does nothing once the watch is closed. */
export async function addEvents(eventIds: readonly string[], add: (eventId: string) => Promise<void>): Promise<void> {
  for (const batch of batchesOf(eventIds, LOAD_CONCURRENCY)) await Promise.all(batch.map(add));
}
