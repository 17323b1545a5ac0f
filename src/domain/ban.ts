import { refusal, type SquelchError } from "./errors.js";

/**
 * A ban: the user may neither connect nor speak. Other programs also write bans. Only the user and the end are always
 * present. Times are ms since 1970.
 */
export interface UserBan {
  userId: string;
  /** Empty if unknown. */
  reason: string;
  /** The name of the caller who made the ban; empty if unknown. */
  bannedBy: string;
  /** Undefined if unknown. */
  bannedAtMs?: number | undefined;
  /** Undefined if the ban lasts until it is lifted. */
  expiresAtMs?: number | undefined;
}

/** The longest duration of a ban with an end: 10 years. */
export const MAX_BAN_MS = 315_360_000_000;

/** The shortest duration of a ban. */
export const MIN_BAN_MS = 1_000;

/** Returns the error for lifting a ban of a user who is not banned. */
export function notBanned(userId: string): SquelchError {
  return refusal("NOT_BANNED", `user_id: "${userId}" is not banned`, { userId });
}

/** Returns the error for a pause with a banned broadcaster. */
export function bannedBroadcaster({ userId, expiresAtMs }: UserBan): SquelchError {
  const expiresAt = expiresAtMs === undefined ? undefined : new Date(expiresAtMs).toISOString();
  const end = expiresAt === undefined ? "" : ` until ${expiresAt}`;
  return refusal(
    "BROADCASTER_BANNED",
    `broadcaster.user_id: "${userId}" is banned${end}; lift the ban with UnbanUser, or name another`,
    { userId, ...(expiresAt !== undefined && { expiresAt }) },
  );
}
