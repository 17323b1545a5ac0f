import { SquelchError } from "./errors.js";
import { parseId } from "./id.js";

/** The most channels that one user may have in one event, so that a change always fits a message of 1 MiB. */
const MAX_CHANNELS_PER_USER = 2_000;

/** What a writer calls its change where it does not say. */
export const DEFAULT_ACTION = "set_user_channels";

/** The channels of one user in one event. */
export interface Membership {
  userId: string;
  /** Ascending, without duplicates. */
  channelIds: string[];
  /** The revision of the user's newest change, 0 if there was none. */
  revision: number;
  /** When the user was last disconnected by force, in ms since 1970; undefined if never. */
  disconnectedAtMs?: number | undefined;
}

/**
 * Returns the ids ascending and without duplicates.
 *
 * @throws SquelchError `invalidArgument` if one is no id or there are more than 2,000.
 */
export function parseChannelIds(field: string, channelIds: readonly string[]): string[] {
  const unique = [...new Set(channelIds.map((id, index) => parseId(`${field}[${index}]`, id)))].sort();
  if (unique.length > MAX_CHANNELS_PER_USER) {
    throw new SquelchError("invalidArgument", `${field}: a user may have at most ${MAX_CHANNELS_PER_USER} channels`);
  }
  return unique;
}

/** What `after` has and `before` has not, and the other way round; both keep the order of their source. */
export function diffChannels(before: readonly string[], after: readonly string[]) {
  const had = new Set(before);
  const has = new Set(after);
  return { added: after.filter((id) => !had.has(id)), removed: before.filter((id) => !has.has(id)) };
}
