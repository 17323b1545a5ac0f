import { batchesOf } from "../../../lib/batchesOf.js";

/** How many events one watch may name. */
export const MAX_WATCHED_EVENTS = 1_000;
/** How many events one watch loads at the same time. */
const LOAD_CONCURRENCY = 16;

/** A watch that is being opened or is open. */
export interface OpenWatch {
  /** Resolves when all events have been added. Rejects with the reason for which the watch ends. */
  opened: Promise<void>;
  /** Ends the watch. Idempotent. */
  close(): void;
}

/**
 * Adds events to a watch, some at a time, until all are added or one fails.
 *
 * @param add does nothing once the watch is closed
 */
export async function addEvents(eventIds: readonly string[], add: (eventId: string) => Promise<void>): Promise<void> {
  for (const batch of batchesOf(eventIds, LOAD_CONCURRENCY)) await Promise.all(batch.map(add));
}

/** Opens a watch once `permitted` resolves, unless it has been closed by then. */
export function openOnce(permitted: Promise<void>, open: () => OpenWatch): OpenWatch {
  let watch: OpenWatch | undefined;
  let isClosed = false;
  return {
    opened: permitted.then(() => {
      if (isClosed) return;
      watch = open();
      // The watch may have failed while it was opened.
      if (isClosed) watch.close();
      return watch.opened;
    }),
    close() {
      isClosed = true;
      watch?.close();
    },
  };
}
