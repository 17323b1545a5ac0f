import type { UserBan } from "./ban.js";
import type { ActiveSpeaker, FloorDenyCause, FloorPriority, FloorRevokeCause, SpeakerPause } from "./floor.js";

export interface MembershipChanged {
  kind: "membershipChanged";
  userId: string;
  /** All channels, ascending. */
  channelIds: string[];
  added: string[];
  removed: string[];
  action: string;
}

export interface SpeakersPaused {
  kind: "speakersPaused";
  pause: SpeakerPause;
  /** The speakers that the pause cut. */
  cut: ActiveSpeaker[];
  /** The standing pause that this one replaced. No `speakersResumed` change follows for it. */
  replacedPauseId?: string | undefined;
}

export interface SpeakersResumed {
  kind: "speakersResumed";
  pauseId: string;
  /** True if the pause ran out, false if it was lifted. */
  expired: boolean;
}

export interface FloorRevoked {
  kind: "floorRevoked";
  channelId: string;
  userId: string;
  /** When the speaker had taken the lost floor, ms since 1970; 0 if unknown. */
  startedAtMs: number;
  /** The lost lease; 0 for a lock that a router wrote directly. */
  leaseId: number;
  cause: FloorRevokeCause;
  byUserId: string;
}

/** A waiting request got the floor, in the step in which the previous holder lost it. Times are ms since 1970. */
export interface FloorRequestGranted {
  kind: "floorRequestGranted";
  channelId: string;
  userId: string;
  userName: string;
  sessionId: string;
  queueId: number;
  leaseId: number;
  startedAtMs: number;
  /** At most 3 s after the grant. The router must renew the lease before. */
  expiresAtMs: number;
  talkUntilMs: number;
  priority: FloorPriority;
}

/** A waiting request ended without a grant. */
export interface FloorRequestDenied {
  kind: "floorRequestDenied";
  channelId: string;
  userId: string;
  sessionId: string;
  queueId: number;
  cause: FloorDenyCause;
}

export interface UserDisconnected {
  kind: "userDisconnected";
  userId: string;
  reason: string;
}

/** A user was banned, or the end of a ban was changed. A `UserDisconnected` change closes the user's open sockets. */
export interface UserBanned {
  kind: "userBanned";
  ban: UserBan;
}

export interface UserUnbanned {
  kind: "userUnbanned";
  userId: string;
  /** True if the ban ran out, false if it was lifted. */
  expired: boolean;
}

export type ChangeKind =
  | MembershipChanged
  | SpeakersPaused
  | SpeakersResumed
  | FloorRevoked
  | FloorRequestGranted
  | FloorRequestDenied
  | UserDisconnected
  | UserBanned
  | UserUnbanned;

/** One entry of an event's log. */
export type Change = ChangeKind & {
  /** 1 for the first change of an epoch, then one more for each. */
  revision: number;
  /** When the store accepted it, in ms since 1970, by the store's clock. */
  timeMs: number;
  actor: string;
};

/** A change with the epoch of its revision, as the log keeps it and as it is published. */
export type LogEntry = Change & { epoch: string };

/** Returns the only user whom a change concerns, or undefined if it concerns all users of the event. */
export function concernedUser(change: Change): string | undefined {
  switch (change.kind) {
    case "membershipChanged":
    case "floorRevoked":
    case "floorRequestGranted":
    case "floorRequestDenied":
    case "userDisconnected":
    case "userUnbanned":
      return change.userId;
    case "userBanned":
      return change.ban.userId;
    case "speakersPaused":
    case "speakersResumed":
      return undefined;
  }
}
