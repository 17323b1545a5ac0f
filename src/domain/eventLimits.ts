import { type MembershipLimit, refusal, type SquelchError } from "./errors.js";
import type { UserChannels } from "./ports/membershipStore.js";

/** The highest value of `maxChannelsPerUser`. With it, a change still fits into a message of 1 MiB. */
export const MOST_CHANNELS_PER_USER = 2_000;

/** The limits of one event. All replicas of a store should have the same ones. */
export interface EventLimits {
  /** The most users of an event, including users without channels. */
  maxUsersPerEvent: number;
  /** The most channels of one user in one event; at most {@link MOST_CHANNELS_PER_USER}. */
  maxChannelsPerUser: number;
  /** The number of newest entries that the log of an event keeps. Redis keeps slightly more. */
  logLength: number;
}

export const DEFAULT_EVENT_LIMITS: EventLimits = {
  maxUsersPerEvent: 100_000,
  maxChannelsPerUser: MOST_CHANNELS_PER_USER,
  logLength: 10_000,
};

/**
 * Returns the error for a write that exceeds a limit.
 *
 * @param field the field that the message names. Default: the field of SetUserChannels
 */
export function limitExceeded(limit: MembershipLimit, limits: EventLimits, field?: string): SquelchError {
  const message =
    limit === "users_per_event"
      ? `${field ?? "user_id"}: an event may have at most ${limits.maxUsersPerEvent} users, those who have lost all ` +
        "channels included; use another event, or raise --max-users-per-event"
      : `${field ?? "channel_ids"}: a user may have at most ${limits.maxChannelsPerUser} channels in an event; ` +
        "name fewer, or raise --max-channels-per-user";
  const max = limit === "users_per_event" ? limits.maxUsersPerEvent : limits.maxChannelsPerUser;
  return refusal("LIMIT_EXCEEDED", message, { limit, max: `${max}` }, { limit });
}

/** @throws SquelchError `resourceExhausted` if one of the users of a sync has too many channels. */
export function checkSyncedChannels(users: readonly UserChannels[], limits: EventLimits): void {
  const user = users.find(({ channelIds }) => channelIds.length > limits.maxChannelsPerUser);
  if (user !== undefined) throw limitExceeded("channels_per_user", limits, `users: channel_ids of "${user.userId}"`);
}
