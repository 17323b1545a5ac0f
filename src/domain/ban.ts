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
