import type { UserBan } from "../ban.js";
import type { Unsubscribe } from "./unsubscribe.js";
import type { WriteOutcome } from "./writeOutcome.js";

export interface DisconnectRequest {
  eventId: string;
  userId: string;
  reason: string;
  actor: string;
}

export interface BanRequest extends DisconnectRequest {
  /** Undefined: the ban lasts until it is lifted. */
  durationMs: number | undefined;
}

/**
 * Disconnections and bans. A disconnection takes all floors of the user in one step: each is announced as `floorRevoked`,
 * or, if the user is a pause's broadcaster, in a `speakersPaused` change without a broadcaster. A `userDisconnected` change
 * follows in that step.
 */
export interface BanStore {
  /** Where a ban is in effect: in every event of the fleet, or in the event in which it was made. */
  readonly banScope: "fleet" | "event";
  /** Disconnects a user, who need not be known to the event. */
  disconnectUser(request: DisconnectRequest): Promise<WriteOutcome>;
  /** Bans a user and disconnects the user in the event, in one step. Replaces a standing ban. */
  banUser(request: BanRequest): Promise<WriteOutcome & { ban: UserBan }>;
  /** Lifts a ban. Rejects with `failedPrecondition` if no ban of the user stands. */
  unbanUser(eventId: string, userId: string, actor: string): Promise<WriteOutcome>;
  /** Returns the bans in effect in an event. The first to end comes first. Bans with the same end ascend by user id. */
  listBans(eventId: string): Promise<UserBan[]>;
  /**
   * Appends missing entries to the event's log: the ends of bans, and bans made outside of this event against users with an
   * entry in it, who are disconnected too. Returns the time until the next of the announced bans ends, ms; undefined if
   * none of them has an end.
   */
  settleBans(eventId: string): Promise<number | undefined>;
  /**
   * Calls back when bans in effect in an event have changed, but not for bans that programs write to the store directly.
   * Once it resolves, no change is missed.
   */
  followBans(eventId: string, listener: () => void): Promise<Unsubscribe>;
}
