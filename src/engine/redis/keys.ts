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
    /** The leases whose end has not been announced. */
    leases: `${prefix}leases`,
    /** Hash: channel id → who waits for its floor. */
    queue: `${prefix}queue`,
    /** When users were last disconnected by force. */
    disconnected: `${prefix}disconnected`,
    /** The bans of which the log has told, and whose end it has not. */
    bans: `${prefix}bans`,
    /** The pub/sub channel on which entries are published as they are appended. */
    changes: `${prefix}changes`,
    /** Hash: router id → how far it has come. */
    routers: `${prefix}routers`,
    /** The pub/sub channel on which news of the routers is published. */
    applied: `${prefix}applied`,
    /** The pub/sub channel on which it is told who speaks. */
    floor: `${prefix}floor`,
    /** The first answer to a PauseAllSpeakers with this request id. */
    pauseAnswer: (requestId: string) => `${prefix}pause:answer:${requestId}`,
  };
}

/** Hash: replica id → what it last said of itself. */
export const REPLICAS = "squelch:replicas";
/** Set of every event. */
export const EVENTS = "squelch:events";
/** Pub/sub channel on which a new event's id is published. */
export const NEW_EVENTS = "squelch:events:new";
/** Pub/sub channel on which the id of an event is published when it is paused. */
export const PAUSES = "squelch:pauses";
/** Pub/sub channel of the tickets. */
export const INGEST = "squelch:ingest";
/** The newest ticket. */
export const INGEST_GENERATION = "squelch:ingest:generation";

/** The key of a write that proves nothing but that Redis takes writes; numbered so that each shard of a Cluster has one. */
export function probeKey(number: number | string): string {
  return `squelch:probe:{${number}}`;
}

/** Stream of who did what in the fleet. */
export const AUDIT = "squelch:audit";
/** The watermark: the ticket before which every update has been applied. */
export const INGEST_APPLIED = "squelch:ingest:applied";

// The names below are those of every VoicePing fleet.

/** List of what happened in the fleet, the newest first. */
export const FLEET_AUDIT = "audit:log";
/** Pub/sub channel on which the control plane publishes assignments. */
export const MEMBERSHIP_UPDATES = "vp:membership_updates";
/** Hash: channel id → event id. */
export const CHANNEL_EVENTS = "channel:events";
/** Hash in the slot of that one: channel id → a move of which the event that it leaves has not heard yet. */
export const CHANNEL_MOVES = "squelch:{channel:events}:moves";

/** The control plane's set of a user's channels, of the event last recomputed. */
export function assignedChannelsKey(userId: string): string {
  return `u.${userId}.g`;
}

/** The user whom such a key belongs to. */
export function userOfAssignedChannelsKey(key: string): string {
  return key.slice("u.".length, -".g".length);
}

/** Around a channel id, the name of the pub/sub channel of its state, in every layout. */
export const stateAffixes = { statePrefix: "channel:", stateSuffix: ":events" };

/** The pub/sub channel on which a channel's state is published. */
export function stateChannel(channelId: string): string {
  return `${stateAffixes.statePrefix}${channelId}${stateAffixes.stateSuffix}`;
}

/** Where bans are. */
export interface BanKeys {
  /** Sorted set: user id → when the ban ends, ms. */
  banned: string;
  /** Before a user id, the hash of the ban's details. */
  banPrefix: string;
  /** The pub/sub channel on which it is told that bans have changed. */
  banNews: string;
}

/** What the scripts of an event touch beside its own keys. */
export interface Layout {
  /** Around a channel id, the key that holds its speaker. */
  speakerAffixes(eventId: string): { speakerPrefix: string; speakerSuffix: string };
  /** Hash channel id → event id, of all channels that a script of the event may ask for. */
  owners(eventId: string): string;
  /** Whether the bans that hold in an event are those of the whole fleet or its own. */
  banScope: "fleet" | "event";
  bans(eventId: string): BanKeys;
  /** The newest ticket that scripts of the event have taken. */
  generation(eventId: string): string;
  /** Where they publish it; undefined if nobody counts these tickets. */
  tickets: string | undefined;
}

export type LayoutName = "legacy" | "cluster";

/**
 * `legacy`: the names that routers have always used. `cluster`: all that a script touches has the event's hash tag, so
 * that it is in one slot.
 */
export const layouts: Readonly<Record<LayoutName, Layout>> = {
  legacy: {
    speakerAffixes: () => ({ speakerPrefix: "channel:", speakerSuffix: ":speaker" }),
    owners: () => CHANNEL_EVENTS,
    banScope: "fleet",
    bans: () => ({
      banned: "security:banned",
      banPrefix: "security:ban:",
      banNews: "squelch:bans:changed",
    }),
    generation: () => INGEST_GENERATION,
    tickets: INGEST,
  },
  cluster: {
    speakerAffixes: (eventId) => ({ speakerPrefix: `channel:{${eventId}}:`, speakerSuffix: ":speaker" }),
    owners: (eventId) => `squelch:{${eventId}}:owners`,
    banScope: "event",
    bans: (eventId) => ({
      banned: `security:{${eventId}}:banned`,
      banPrefix: `security:{${eventId}}:ban:`,
      banNews: `squelch:{${eventId}}:bans:changed`,
    }),
    generation: (eventId) => `squelch:{${eventId}}:generation`,
    tickets: undefined,
  },
};

/** The key that holds the speaker of an event's channel. */
export function speakerKey(layout: Layout, eventId: string, channelId: string): string {
  const { speakerPrefix, speakerSuffix } = layout.speakerAffixes(eventId);
  return `${speakerPrefix}${channelId}${speakerSuffix}`;
}
