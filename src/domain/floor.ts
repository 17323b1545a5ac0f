import { refusal, type SquelchError } from "./errors.js";

/** The default talk time, from 3GPP TS 24.380 (timer T2, 30 s by default). */
export const DEFAULT_TALK_TIME_MS = 30_000;

/** The shortest talk time that a caller can request. */
export const MIN_TALK_TIME_MS = 1_000;

/** The shortest lease time that a caller can request. */
export const MIN_LEASE_TIME_MS = 1_000;
export const MAX_LEASE_TIME_MS = 60_000;

/** The shortest time to wait in the queue of a channel without repeating the request. */
export const MIN_QUEUE_MS = 1_000;
export const MAX_QUEUE_MS = 60_000;

/**
 * How long the lease of a waiting request lasts unless it is renewed. It is short because the waiting client may have
 * left. The router must receive the grant and renew the lease within this time.
 */
export const CLAIM_TIME_MS = 3_000;

/** The default duration of a pause. */
export const DEFAULT_PAUSE_MS = 60_000;

/** The longest duration of a pause. */
export const MAX_PAUSE_MS = 3_600_000;

/**
 * The user id in the speaker key of a channel while its event is paused. With it, the pause also holds back routers that
 * take the floor with SET NX. It is never reported as a speaker.
 */
export const RESERVED_HOLDER = "squelch:pause";

/** The priorities, the lowest first. */
export const FLOOR_PRIORITIES = ["normal", "dispatch", "imminentPeril", "emergency"] as const;
export type FloorPriority = (typeof FLOOR_PRIORITIES)[number];

/** True if a request of priority `a` takes the floor from a holder of priority `b`. */
export function outranks(a: FloorPriority, b: FloorPriority): boolean {
  return FLOOR_PRIORITIES.indexOf(a) > FLOOR_PRIORITIES.indexOf(b);
}

/** A user who holds the floor of a channel. Times are ms since 1970. */
export interface ActiveSpeaker {
  channelId: string;
  userId: string;
  userName: string;
  startedAtMs: number;
  expiresAtMs: number;
  priority: FloorPriority;
}

/** A user who waits for the floor of a channel. */
export interface WaitingSpeaker {
  channelId: string;
  userId: string;
  userName: string;
  /** 1 is next. */
  position: number;
  priority: FloorPriority;
  /** When the request stops waiting unless it is repeated, ms since 1970. */
  expiresAtMs: number;
}

/** True if `a` and `b` are the same grant of a floor, renewed or not, or if both are undefined. */
export function isSameFloor(a: ActiveSpeaker | undefined, b: ActiveSpeaker | undefined): boolean {
  return a?.userId === b?.userId && a?.startedAtMs === b?.startedAtMs && a?.priority === b?.priority;
}

/** The user who speaks to the whole event while a pause stands. */
export interface Broadcaster {
  userId: string;
  userName: string;
}

/** A pause: an event-wide latch that keeps users from speaking. Times are ms since 1970, by the store's clock. */
export interface SpeakerPause {
  pauseId: string;
  reason: string;
  actor: string;
  startedAtMs: number;
  /** Equal to `startedAtMs` if the speakers were cut without a latch. */
  expiresAtMs: number;
  exemptUserIds: string[];
  broadcaster?: Broadcaster | undefined;
}

/** Reject causes of 3GPP TS 24.380, 8.2.6.2. */
export type FloorDenyCause = "anotherHasPermission" | "retryAfter" | "receiveOnly" | "queueFull";

/** Revoke causes of 3GPP TS 24.380, 8.2.10.2. */
export type FloorRevokeCause = "talkedTooLong" | "noPermission" | "preEmpted" | "other";

/** Returns the error for renewing or releasing a lease that is not the current one. */
export function staleLease(channelId: string): SquelchError {
  return refusal("STALE_LEASE", `lease_id: the floor of "${channelId}" is not held under this lease`, { channelId });
}

/** Returns the error for releasing a floor for a user who neither holds it nor waits for it. */
export function notTheHolder(channelId: string): SquelchError {
  const holder = "that user under that session_id";
  return refusal("NOT_HOLDER", `user_id: the floor of "${channelId}" is neither held nor waited for by ${holder}`, {
    channelId,
  });
}

/** True if a pause may replace the standing one: its request names the standing pause, or both have the same broadcaster. */
export function mayReplace(
  { replacePauseId, broadcaster }: { replacePauseId?: string | undefined; broadcaster?: Broadcaster | undefined },
  standing: SpeakerPause,
): boolean {
  if (replacePauseId !== undefined) return replacePauseId === standing.pauseId;
  return broadcaster !== undefined && broadcaster.userId === standing.broadcaster?.userId;
}

/** Returns the error for pausing an event that is already paused. */
export function alreadyPaused(eventId: string, standing: SpeakerPause): SquelchError {
  const { actor, broadcaster, expiresAtMs, pauseId } = standing;
  const forWhom = broadcaster === undefined ? "" : ` for ${broadcaster.userId} to speak`;
  const expiresAt = new Date(expiresAtMs).toISOString();
  return refusal(
    "PAUSE_STANDS",
    `event_id: "${eventId}" is already paused by ${actor}${forWhom} until ${expiresAt} ` +
      `(pause_id ${pauseId}); resume it first, or take its place with replace_pause_id`,
    { pauseId, actor, ...(broadcaster && { broadcaster: broadcaster.userId }), expiresAt },
  );
}

/** Returns the error for ending a pause that does not stand. */
export function pauseNotStanding(eventId: string, pauseId: string, standing: SpeakerPause | undefined): SquelchError {
  const state =
    standing === undefined ? "is not paused" : `is paused under ${standing.pauseId}; name that one to resume it`;
  return refusal("PAUSE_NOT_STANDING", `pause_id: "${eventId}" ${state}`, { pauseId });
}

/** Returns the error for a request id that another caller, or a request with other content, has used. */
export function requestIdReused(requestId: string): SquelchError {
  return refusal(
    "REQUEST_ID_REUSED",
    `request_id: "${requestId}" belongs to a request of another caller or with other content; nothing was changed: ` +
      "give a new id",
    { requestId },
  );
}

/** True if the pause keeps the user from speaking. */
export function isHeldBack(pause: SpeakerPause | undefined, userId: string): boolean {
  if (pause === undefined || pause.expiresAtMs <= pause.startedAtMs) return false;
  return pause.broadcaster?.userId !== userId && !pause.exemptUserIds.includes(userId);
}
