import { refusal, type SquelchError } from "./errors.js";

/** Returns the error for a channel that belongs to no event. */
export function unknownChannel(channelId: string): SquelchError {
  return refusal(
    "UNKNOWN_CHANNEL",
    `channel_id: "${channelId}" belongs to no event; associate it with SetChannelEvent`,
    { channelId },
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
