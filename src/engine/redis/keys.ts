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
    /** Hash: channel id → the lease that has no published end yet. */
    leases: `${prefix}leases`,
    /** Hash: channel id → the requests that wait for its floor. */
    queue: `${prefix}queue`,
    /** Hash: user id → when the user was last disconnected by force. */
    disconnected: `${prefix}disconnected`,
    /** Hash: user id → end of a ban that is in the log, as long as its end is not in the log. */
    bans: `${prefix}bans`,
    /** The pub/sub channel on which log entries are published when they are appended. */
    changes: `${prefix}changes`,
    /** Hash: router id → the cursor up to which the router has applied changes. */
    routers: `${prefix}routers`,
    /** The pub/sub channel on which changes of the routers are published. */
    applied: `${prefix}applied`,
    /** The pub/sub channel on which changes of speakers are published. */
    floor: `${prefix}floor`,
    /** The first answer to a PauseAllSpeakers with this request id. */
    pauseAnswer: (requestId: string) => `${prefix}pause:answer:${requestId}`,
  };
}

/**
 * The field of an event's meta that holds the lowest position: updates at or below it are not applied. The
 * field keeps its old name, because replicas of several versions share it.
 */
export const POSITION_FLOOR_FIELD = "floor";

/** Hash: replica id → its last report. */
export const REPLICAS = "squelch:replicas";
/** Set of the ids of all events. */
export const EVENTS = "squelch:events";
/** Pub/sub channel on which a new event's id is published. */
export const NEW_EVENTS = "squelch:events:new";
/** Pub/sub channel on which the id of an event is published when it is paused. */
export const PAUSES = "squelch:pauses";
/** Pub/sub channel of the tickets, which number the control plane's updates. */
export const INGEST = "squelch:ingest";
/** The newest ticket of the ingest. */
export const INGEST_GENERATION = "squelch:ingest:generation";

/**
 * The key of a write that only proves that Redis accepts writes. It is numbered so that each shard of a Cluster has
 * one.
 */
export function probeKey(number: number | string): string {
  return `squelch:probe:{${number}}`;
}

/** Stream of the audit trail: who did what in the fleet. */
export const AUDIT = "squelch:audit";
/** The watermark: every update before this ticket has been applied. */
export const INGEST_APPLIED = "squelch:ingest:applied";

// Every VoicePing fleet uses the names below.

/** List of the fleet's audit entries, the newest first. */
export const FLEET_AUDIT = "audit:log";

/** Returns the key of the list of the fleet's audit entries of one actor, the newest first. */
export function actorAudit(actorId: string): string {
  return `audit:actor:${actorId}`;
}
/** Pub/sub channel on which the control plane publishes assignments. */
export const MEMBERSHIP_UPDATES = "vp:membership_updates";
/** Hash: channel id → event id. */
export const CHANNEL_EVENTS = "channel:events";
/**
 * Hash in the same slot as `channel:events`: channel id → a move that has not reached the event that the channel
 * leaves.
 */
export const CHANNEL_MOVES = "squelch:{channel:events}:moves";

/** The control plane's set of a user's channels in the event that was recomputed last. */
export function assignedChannelsKey(userId: string): string {
  return `u.${userId}.g`;
}

/** Returns the id of the user that a key of {@link assignedChannelsKey} belongs to. */
export function userOfAssignedChannelsKey(key: string): string {
  return key.slice("u.".length, -".g".length);
}

/** Prefix and suffix of the pub/sub channel of a channel's state, the same in every layout. */
export const stateAffixes = { statePrefix: "channel:", stateSuffix: ":events" };

/** Returns the pub/sub channel on which a channel's state is published. */
export function stateChannel(channelId: string): string {
  return `${stateAffixes.statePrefix}${channelId}${stateAffixes.stateSuffix}`;
}

/** The keys of bans. */
export interface BanKeys {
  /** Sorted set: user id → when the ban ends, ms. */
  banned: string;
  /** Prefix of the hash of a ban's details; the user id follows. */
  banPrefix: string;
  /** The pub/sub channel on which changes of bans are published. */
  banNews: string;
}

/** The names that an event's scripts use beside the event's own keys. */
export interface Layout {
  /** Prefix and suffix of the key that holds a channel's speaker. */
  speakerAffixes(eventId: string): { speakerPrefix: string; speakerSuffix: string };
  /** Hash channel id → event id of all channels that a script of the event may ask for. */
  owners(eventId: string): string;
  /** Whether an event is subject to the bans of the whole fleet or only to its own bans. */
  banScope: "fleet" | "event";
  bans(eventId: string): BanKeys;
  /** The newest ticket that scripts of the event have taken. */
  generation(eventId: string): string;
  /** The pub/sub channel on which scripts publish that ticket; undefined if no other process counts these tickets. */
  tickets: string | undefined;
}

export type LayoutName = "legacy" | "cluster";

/**
 * The key layouts. `legacy` uses the names that routers have always used. In `cluster` every key that a script touches
 * has the event's hash tag, so that all of them are in one slot.
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

/** Returns the key that holds the speaker of an event's channel. */
export function speakerKey(layout: Layout, eventId: string, channelId: string): string {
  const { speakerPrefix, speakerSuffix } = layout.speakerAffixes(eventId);
  return `${speakerPrefix}${channelId}${speakerSuffix}`;
}
