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
  /** Each floor that was cut, as it was held. */
  cut: ActiveSpeaker[];
  /** The pause that stood until now, if this one has taken its place; it gets no end of its own. */
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
  /** When the floor that was lost had been taken, ms since 1970; 0 if not known. */
  startedAtMs: number;
  /** The lease that was lost; 0 for a lock that a router wrote itself. */
  leaseId: number;
  cause: FloorRevokeCause;
  byUserId: string;
}

/** A request that waited for a floor was granted, by the step that ended the floor before. Times are ms since 1970. */
export interface FloorRequestGranted {
  kind: "floorRequestGranted";
  channelId: string;
  userId: string;
  userName: string;
  sessionId: string;
  queueId: number;
  leaseId: number;
  startedAtMs: number;
  /** Soon: the lease must be renewed. */
  expiresAtMs: number;
  talkUntilMs: number;
  priority: FloorPriority;
}

/** A request that waited for a floor waits no longer, and was not granted. */
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

/** A ban began, or has another end. Open sockets are told of by a `UserDisconnected`. */
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
  /** Contiguous from 1 within an epoch. */
  revision: number;
  /** When the store accepted it, in ms since 1970, by the store's clock. */
  timeMs: number;
  actor: string;
};

/** A change as the log keeps it and as it is published: with the epoch that its revision belongs to. */
export type LogEntry = Change & { epoch: string };

/** The one user whom a change concerns, or undefined if it concerns everybody in the event. */
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
