import type { UserBan } from "../../domain/ban.js";
import type { ActiveSpeaker, FloorDenyCause, FloorRevokeCause, SpeakerPause } from "../../domain/floor.js";

/** The channels of a user in an event have changed. */
export interface PermissionChange {
  eventId: string;
  userId: string;
  /** All channels that the user now has, ascending. */
  channelIds: string[];
  /** The channels that the user gained, compared with what this router knew before. */
  added: string[];
  /** The channels that the user lost, compared with what this router knew before. */
  removed: string[];
  /**
   * The action that the writer gave. `snapshot` and `heartbeat` mark a difference that a snapshot or a heartbeat showed.
   * `fail-closed` and `restored` mark channels that the client itself took away or gave back.
   */
  action: string;
  /** The revision of this state. */
  revision: number;
}

/** An event was paused. */
export interface PauseNotice {
  eventId: string;
  /** The pause. If it ends when it begins, the speakers lost their floors but may take them again at once. */
  pause: SpeakerPause;
  /** The floors that were taken away. Empty if a snapshot or a heartbeat showed the pause. */
  cut: ActiveSpeaker[];
}

/** The pause of an event has ended. */
export interface ResumeNotice {
  eventId: string;
  pauseId: string;
  /** True if the pause expired, false if it was lifted. */
  expired: boolean;
  /** The pause that ended; undefined if this router did not know it. */
  pause?: SpeakerPause | undefined;
}

/** A user lost the floor of one channel. */
export interface FloorRevocation {
  eventId: string;
  channelId: string;
  userId: string;
  /** The time at which the user had taken the lost floor, in ms since 1970 by the clock of Redis; 0 if unknown. */
  startedAtMs: number;
  cause: FloorRevokeCause;
  /** The user who took the floor; empty if no user did. */
  byUserId: string;
}

/** A request that waited for the floor of a channel was granted. Times are ms since 1970, by the clock of Redis. */
export interface FloorGrant {
  eventId: string;
  channelId: string;
  /** The user who now holds the floor. */
  speaker: ActiveSpeaker;
  /** The session id of the request. */
  sessionId: string;
  /** The queue id that StartPtt returned for the request. */
  queueId: bigint;
  /** The lease. The router of the session must renew it within 3 s. */
  leaseId: bigint;
  talkUntilMs: number;
}

/**
 * A request stopped waiting for the floor of a channel without getting it. It is not emitted for a pause, which ends all
 * requests of the event.
 */
export interface FloorRequestDenial {
  eventId: string;
  channelId: string;
  userId: string;
  /** The session id of the request. */
  sessionId: string;
  /** The queue id that StartPtt returned for the request. */
  queueId: bigint;
  cause: FloorDenyCause | "other";
}

/** The router must close the sockets of a user in an event. */
export interface DisconnectNotice {
  eventId: string;
  userId: string;
  reason: string;
  /**
   * Close only sockets that connected before this time, in ms since 1970 by the clock of the store. Infinity means all
   * sockets.
   */
  connectedBeforeMs: number;
}

/** A user was banned and may not connect any more. A separate `disconnect` follows for the open sockets. */
export interface BanNotice {
  eventId: string;
  ban: UserBan;
}

/** The ban of a user has ended: the user may connect again. */
export interface UnbanNotice {
  eventId: string;
  userId: string;
  /** True if the ban expired, false if it was lifted. */
  expired: boolean;
}

/** A snapshot has replaced the known state of an event. The differences were emitted before. */
export interface ResyncNotice {
  eventId: string;
}

/** The events that a PermissionClient emits. */
export interface PermissionEvents {
  change: [PermissionChange];
  /** Emitted after `change`, with the same details, if the user lost channels. */
  revoked: [PermissionChange];
  paused: [PauseNotice];
  resumed: [ResumeNotice];
  floorRevoked: [FloorRevocation];
  floorGranted: [FloorGrant];
  floorDenied: [FloorRequestDenial];
  disconnect: [DisconnectNotice];
  /** Emitted only while the stream is open: a snapshot does not contain bans. `refreshUser` returns the ban of a user. */
  banned: [BanNotice];
  /** Emitted only while the stream is open: a snapshot does not contain bans. */
  unbanned: [UnbanNotice];
  resynced: [ResyncNotice];
  /** The known permissions may be out of date from now on. */
  stale: [];
  /** The known permissions are up to date again. */
  fresh: [];
}

/** One event with its arguments, before it is emitted. */
export type Notice = {
  [Name in keyof PermissionEvents]: { name: Name; arguments: PermissionEvents[Name] };
}[keyof PermissionEvents];

/** Returns the `change` event, and the `revoked` event if the user lost channels. */
export function changeNotices(change: PermissionChange): Notice[] {
  const notices: Notice[] = [{ name: "change", arguments: [change] }];
  if (change.removed.length > 0) notices.push({ name: "revoked", arguments: [change] });
  return notices;
}
