import type { UserBan } from "../../domain/ban.js";
import type { ActiveSpeaker, FloorDenyCause, FloorRevokeCause, SpeakerPause } from "../../domain/floor.js";

/** The channels of a user are now these. */
export interface PermissionChange {
  eventId: string;
  userId: string;
  /** All channels, ascending. */
  channelIds: string[];
  /** What the user gained against what this router knew before. */
  added: string[];
  /** What the user lost against what this router knew before. */
  removed: string[];
  /**
   * What the writer called it; `snapshot` or `heartbeat` for a difference that was found so, `fail-closed` and
   * `restored` where the client itself took the channels away or gave them back.
   */
  action: string;
  /** The revision at which this is true. */
  revision: number;
}

/** An event was paused. */
export interface PauseNotice {
  eventId: string;
  /** Ends when it begins where speakers were cut without a latch. */
  pause: SpeakerPause;
  /** Each floor that was cut; empty where a pause was found in a snapshot or by a heartbeat. */
  cut: ActiveSpeaker[];
}

/** The pause of an event is over. */
export interface ResumeNotice {
  eventId: string;
  pauseId: string;
  /** True if it ran out, false if it was lifted. */
  expired: boolean;
  /** The pause that ended, where this router knew it. */
  pause?: SpeakerPause | undefined;
}

/** A user lost the floor of one channel. */
export interface FloorRevocation {
  eventId: string;
  channelId: string;
  userId: string;
  /** When the floor that was lost had been taken, in ms since 1970 by the store's clock; 0 if not known. */
  startedAtMs: number;
  cause: FloorRevokeCause;
  /** Who took it; empty if nobody did. */
  byUserId: string;
}

/** A request that waited for the floor of a channel was granted. Times are ms since 1970, by the store's clock. */
export interface FloorGrant {
  eventId: string;
  channelId: string;
  /** Who has the floor. */
  speaker: ActiveSpeaker;
  /** The session that asked. */
  sessionId: string;
  /** The request, as StartPtt has answered. */
  queueId: bigint;
  /** To be renewed before it expires: the router of the session has 3 s. */
  leaseId: bigint;
  talkUntilMs: number;
}

/**
 * A request that waited for the floor of a channel waits no longer, and was not granted. Those that a pause has ended are
 * not told: it ends all of the event.
 */
export interface FloorRequestDenial {
  eventId: string;
  channelId: string;
  userId: string;
  /** The session that asked. */
  sessionId: string;
  /** The request, as StartPtt has answered. */
  queueId: bigint;
  cause: FloorDenyCause | "other";
}

/** The sockets of a user in an event are to be closed. */
export interface DisconnectNotice {
  eventId: string;
  userId: string;
  reason: string;
  /** Only sockets that connected before this time, in ms since 1970; Infinity for all. */
  connectedBeforeMs: number;
}

/** A user may not connect any more. The sockets that are open are told of apart, by `disconnect`. */
export interface BanNotice {
  eventId: string;
  ban: UserBan;
}

/** A user may connect again. */
export interface UnbanNotice {
  eventId: string;
  userId: string;
  /** True if the ban ran out, false if it was lifted. */
  expired: boolean;
}

/** A full picture of an event has replaced the one that was known; what this changed was announced before. */
export interface ResyncNotice {
  eventId: string;
}

/** What a PermissionClient tells its listeners. */
export interface PermissionEvents {
  change: [PermissionChange];
  /** After the `change` of the same content, where something was removed. */
  revoked: [PermissionChange];
  paused: [PauseNotice];
  resumed: [ResumeNotice];
  floorRevoked: [FloorRevocation];
  floorGranted: [FloorGrant];
  floorDenied: [FloorRequestDenial];
  disconnect: [DisconnectNotice];
  /** Only as it happens: what of it was missed is not in a snapshot; `refreshUser` says who is banned. */
  banned: [BanNotice];
  /** As `banned`. */
  unbanned: [UnbanNotice];
  resynced: [ResyncNotice];
  /** What is known may be out of date from now on. */
  stale: [];
  /** What is known is up to date again. */
  fresh: [];
}

/** One event on its way to the listeners. */
export type Notice = {
  [Name in keyof PermissionEvents]: { name: Name; arguments: PermissionEvents[Name] };
}[keyof PermissionEvents];

/** A change, and its revocation where something was removed. */
export function changeNotices(change: PermissionChange): Notice[] {
  const notices: Notice[] = [{ name: "change", arguments: [change] }];
  if (change.removed.length > 0) notices.push({ name: "revoked", arguments: [change] });
  return notices;
}
