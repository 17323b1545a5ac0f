import type { MembershipUpdate } from "../../domain/ports/membershipStore.js";

/** The most updates that are applied in one step. */
export const MAX_BATCH = 100;

/** An update that waits to be applied. */
export interface QueuedUpdate extends MembershipUpdate {
  /** The number of the message among all accepted messages. */
  sequence: number;
  /** When the update was accepted, by the monotonic clock. */
  acceptedMs: number;
  /** The subscription that delivered it. */
  subscription: number;
  /** True if the control plane's Redis rejected writes when the update arrived. */
  isUnderRefusal: boolean;
}

/** The waiting updates of one event, in their order. */
export interface EventQueue {
  updates: QueuedUpdate[];
  /**
   * Users with an update that cannot be applied because of a defect. Their updates wait; updates of other users
   * overtake them.
   */
  stuckUsers: Set<string>;
  /** The number of updates that are applied together: one during the search for the update that causes a failure. */
  batchSize: number;
  /** Ends the wait of a queue in which all updates wait because of defects. */
  wake?: (() => void) | undefined;
  /**
   * Set while updates cannot be applied: since when, by the monotonic clock, and whether Redis answered with an error.
   */
  failing?: { sinceMs: number; error: Error; isRefused: boolean } | undefined;
}

/** Returns the updates that are applied next. */
export function nextBatch({ updates, stuckUsers, batchSize }: EventQueue): QueuedUpdate[] {
  if (stuckUsers.size === 0) return updates.slice(0, batchSize);
  return updates.filter(({ userId }) => !stuckUsers.has(userId)).slice(0, batchSize);
}
