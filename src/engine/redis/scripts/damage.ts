/** Why a script has begun a new epoch of an event. The scripts write these; docs/consistency.md explains them. */
export type NewEpochReason =
  | "redis_replaced"
  | "meta_lost"
  | "meta_unreadable"
  | "members_lost"
  | "members_added"
  | "log_ahead"
  | "store_behind"
  | "wrong_type"
  | "unreadable_value";

/** The errors of Redis or Lua about a key or a value that Squelch cannot have written. */
const DAMAGE =
  /\bWRONGTYPE\b|ID specified in XADD|not an integer|attempt to (index|compare|perform|concatenate|get length|call)|bad argument #\d|Expected .+ but found|must have a length/;

/**
 * True for an error that damaged keys of an event may have caused: a reply of Redis or of a script, or the failure to
 * parse a stored value. It may have another cause; `mend-event` finds out.
 */
export function mayBeDamage(error: unknown): boolean {
  if (error instanceof SyntaxError || error instanceof TypeError) return true;
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if (DAMAGE.test(cause.message)) return true;
  }
  return false;
}
