/** Every name that Squelch uses in Redis. */

/** The keys of one event; the hash tag puts them into one slot of a Cluster. */
export function eventKeys(eventId: string) {
  const prefix = `squelch:{${eventId}}:`;
  return {
    meta: `${prefix}meta`,
    log: `${prefix}log`,
    members: `${prefix}members`,
    pause: `${prefix}pause`,
    channels: `${prefix}channels`,
    /** The pub/sub channel on which entries are published as they are appended. */
    changes: `${prefix}changes`,
    /** The first answer to a PauseAllSpeakers with this request id. */
    pauseAnswer: (requestId: string) => `${prefix}pause:answer:${requestId}`,
  };
}

/** Set of every event. */
export const EVENTS = "squelch:events";
/** Pub/sub channel on which a new event's id is published. */
export const NEW_EVENTS = "squelch:events:new";
/** Pub/sub channel of the tickets. */
export const INGEST = "squelch:ingest";
/** The newest ticket. */
export const INGEST_GENERATION = "squelch:ingest:generation";

/** The watermark: the ticket before which every update has been applied. */
export const INGEST_APPLIED = "squelch:ingest:applied";

// The names below are those of every VoicePing fleet.

/** Pub/sub channel on which the control plane publishes assignments. */
export const MEMBERSHIP_UPDATES = "vp:membership_updates";
/** Hash: channel id → event id. */
export const CHANNEL_EVENTS = "channel:events";

/** The control plane's set of a user's channels, of the event last recomputed. */
export function assignedChannelsKey(userId: string): string {
  return `u.${userId}.g`;
}

/** The user whom such a key belongs to. */
export function userOfAssignedChannelsKey(key: string): string {
  return key.slice("u.".length, -".g".length);
}

const STATE_PREFIX = "channel:";
const STATE_SUFFIX = ":events";

/** Around a channel id, the name of the pub/sub channel of its state. */
export const stateChannelAffixes = { statePrefix: STATE_PREFIX, stateSuffix: STATE_SUFFIX };

/** The pub/sub channel on which a channel's state is published. */
export function stateChannel(channelId: string): string {
  return `${STATE_PREFIX}${channelId}${STATE_SUFFIX}`;
}

/** The key that holds the speaker of a channel. */
export function speakerKey(channelId: string): string {
  return `channel:${channelId}:speaker`;
}
