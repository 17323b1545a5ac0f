import { parseId } from "./id.js";

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
 * @throws SquelchError `invalidArgument` if one is no id.
 */
export function parseChannelIds(field: string, channelIds: readonly string[]): string[] {
  return [...new Set(channelIds.map((id, index) => parseId(`${field}[${index}]`, id)))].sort();
}

/** What `after` has and `before` has not, and the other way round; both keep the order of their source. */
export function diffChannels(before: readonly string[], after: readonly string[]) {
  const had = new Set(before);
  const has = new Set(after);
  return { added: after.filter((id) => !had.has(id)), removed: before.filter((id) => !has.has(id)) };
}
