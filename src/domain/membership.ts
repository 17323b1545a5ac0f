import { refusal, type SquelchError } from "./errors.js";
import { parseId } from "./id.js";

/** The action of a membership change if the writer names none. */
export const DEFAULT_ACTION = "set_user_channels";

/** The channels of one user in one event. */
export interface Membership {
  userId: string;
  /** Ascending, without duplicates. */
  channelIds: string[];
  /** The revision of the user's newest change, 0 if there was none. */
  revision: number;
  /** When an operator last disconnected the user, ms since 1970; undefined if never. */
  disconnectedAtMs?: number | undefined;
}

/**
 * Returns the ids ascending and without duplicates.
 *
 * @throws SquelchError `invalidArgument` if one is not a valid id.
 */
export function parseChannelIds(field: string, channelIds: readonly string[]): string[] {
  return [...new Set(channelIds.map((id, index) => parseId(`${field}[${index}]`, id)))].sort();
}

/** Returns the channels that only `after` has (`added`) and those that only `before` has (`removed`), in their order. */
export function diffChannels(before: readonly string[], after: readonly string[]) {
  const had = new Set(before);
  const has = new Set(after);
  return { added: after.filter((id) => !had.has(id)), removed: before.filter((id) => !has.has(id)) };
}

/** Returns the error for a write with `if_revision` after another write. */
export function revisionChanged(userId: string, revision: number): SquelchError {
  return refusal(
    "REVISION_CHANGED",
    `if_revision: the channels of "${userId}" have changed since; the newest change has revision ${revision}: read them ` +
      "again, then decide",
    { revision: `${revision}` },
  );
}

/**
 * Returns the error for a channel that belongs to no event.
 *
 * @param near ids of channels that the caller may have meant and may see, the nearest first
 */
export function unknownChannel(channelId: string, near: readonly string[] = []): SquelchError {
  const [nearest] = near;
  const guess = nearest === undefined ? "" : `did you mean "${nearest}"? If not, `;
  return refusal(
    "UNKNOWN_CHANNEL",
    `channel_id: "${channelId}" belongs to no event; ${guess}associate it with SetChannelEvent`,
    { channelId, ...(near.length > 0 && { near: JSON.stringify(near) }) },
  );
}

/**
 * Returns the error for a write that names a channel of another event. It does not name that event, because the caller may
 * have no access to it.
 *
 * @param field the field that names the channel
 * @param of more about the channel, for people
 */
export function channelOfAnotherEvent(field: string, channelId: string, of = ""): SquelchError {
  return refusal(
    "CHANNEL_OF_ANOTHER_EVENT",
    `${field}: channel "${channelId}"${of} belongs to another event; GetChannelEvent names it, SetChannelEvent moves it`,
    { channelId, field },
  );
}

/** Returns the error for SetChannelEvent with only_if_unassigned and a channel of another event. */
export function alreadyAssigned(channelId: string): SquelchError {
  return refusal(
    "CHANNEL_OF_ANOTHER_EVENT",
    `channel_id: "${channelId}" belongs to another event; unset only_if_unassigned to move it`,
    { channelId, field: "channel_id" },
  );
}
