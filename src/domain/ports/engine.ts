import type { AppliedStore } from "./appliedStore.js";
import type { AuditStore } from "./auditStore.js";
import type { BanStore } from "./banStore.js";
import type { ChannelIndex } from "./channelIndex.js";
import type { FleetStore } from "./fleetStore.js";
import type { FloorStore } from "./floorStore.js";
import type { LogStore } from "./logStore.js";
import type { MembershipStore } from "./membershipStore.js";
import type { Unsubscribe } from "./unsubscribe.js";

/**
 * All that an engine does. Every promise rejects with a SquelchError. It is `unavailable` if the store cannot be reached
 * or did not answer within 2 s; the outcome of a write is unknown then. A failure never looks like an empty result.
 * Callers pass valid arguments: ids are valid, channel ids are ascending and without duplicates.
 */
export interface Engine
  extends LogStore,
    MembershipStore,
    ChannelIndex,
    FloorStore,
    BanStore,
    AppliedStore,
    FleetStore,
    AuditStore {
  /** Connects. Resolves whether or not the store could be reached; the engine keeps trying until `close`. */
  start(): Promise<void>;
  /** Releases connections, timers and listeners. Idempotent. */
  close(): Promise<void>;
  /**
   * True if routers may write floors to the store directly. The store then announces some changes only by hints that may
   * get lost.
   */
  readonly hasLegacyRouters: boolean;
  /** Returns whether changes arrive from the store. */
  feedHealth(): FeedHealth;
  /**
   * Calls back each time the subscription is restored after an interruption, and each time the store accepts writes
   * again after it refused them. Entries may have been missed meanwhile.
   */
  onFeedRestored(listener: () => void): Unsubscribe;
  /** Calls back with the event of each new pause. Pauses made while the subscription is interrupted are not reported. */
  onPause(listener: (eventId: string) => void): Unsubscribe;
}

export interface FeedHealth {
  /** True while the store accepts this process's own writes and a recent probe came back through the subscription. */
  healthy: boolean;
  /** Time since the last probe came back, ms. Undefined if none ever did. */
  ageMs?: number | undefined;
  /** Why the feed is not healthy, as free text for people. Undefined while it is healthy. */
  problem?: string | undefined;
}
