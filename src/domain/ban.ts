import { SquelchError } from "./errors.js";

/**
 * A user who may neither connect nor speak. Others write bans too, so all but the user and the end may be missing. Times
 * are ms since 1970.
 */
export interface UserBan {
  userId: string;
  /** Empty if not known. */
  reason: string;
  /** Who banned; empty if not known. */
  bannedBy: string;
  /** Undefined if not known. */
  bannedAtMs?: number | undefined;
  /** Undefined for one that holds until it is lifted. */
  expiresAtMs?: number | undefined;
}

/** The longest ban that has an end, 10 years. */
export const MAX_BAN_MS = 315_360_000_000;

/** The shortest. */
export const MIN_BAN_MS = 1_000;

/** The refusal to lift a ban that does not stand. */
export function notBanned(userId: string): SquelchError {
  return new SquelchError("failedPrecondition", `user_id: "${userId}" is not banned`);
}

/** The refusal to give a whole event to a broadcaster who may not speak. */
export function bannedBroadcaster({ userId, expiresAtMs }: UserBan): SquelchError {
  const end = expiresAtMs === undefined ? "" : ` until ${new Date(expiresAtMs).toISOString()}`;
  return new SquelchError(
    "failedPrecondition",
    `broadcaster.user_id: "${userId}" is banned${end}; lift the ban with UnbanUser, or name another`,
  );
}
