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

/** Around a channel id, the names of the pub/sub channel of its state and of the key of its speaker. */
export const channelAffixes = { channelPrefix: "channel:", stateSuffix: ":events", speakerSuffix: ":speaker" };

/** The pub/sub channel on which a channel's state is published. */
export function stateChannel(channelId: string): string {
  return `${channelAffixes.channelPrefix}${channelId}${channelAffixes.stateSuffix}`;
}

/** The key that holds the speaker of a channel. */
export function speakerKey(channelId: string): string {
  return `${channelAffixes.channelPrefix}${channelId}${channelAffixes.speakerSuffix}`;
}
