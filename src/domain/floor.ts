import { SquelchError } from "./errors.js";

/** The longest talk time of a caller who does not say, as in 3GPP TS 24.380 (T2, 30 s by default). */
export const DEFAULT_TALK_TIME_MS = 30_000;

/** The shortest talk time that can be asked for. */
export const MIN_TALK_TIME_MS = 1_000;

/** How long a lease may last without a renewal where the caller says. */
export const MIN_LEASE_TIME_MS = 1_000;
export const MAX_LEASE_TIME_MS = 60_000;

/** How long somebody may wait in the queue of a channel until heard of again. */
export const MIN_QUEUE_MS = 1_000;
export const MAX_QUEUE_MS = 60_000;

/**
 * How long a lease that was granted to somebody who waited lasts if it is not renewed: nobody knows whether the session is
 * still there. The router has this time to hear of the grant and to renew it.
 */
export const CLAIM_TIME_MS = 3_000;

/** How long a pause stands if its caller does not say. */
export const DEFAULT_PAUSE_MS = 60_000;

/** The longest pause. */
export const MAX_PAUSE_MS = 3_600_000;

/**
 * The holder of a channel's speaker key while its event is paused, so that a router which only knows SET NX is held
 * back too. It is never reported as a speaker.
 */
export const RESERVED_HOLDER = "squelch:pause";

/** Who goes before whom, lowest first. */
export const FLOOR_PRIORITIES = ["normal", "dispatch", "imminentPeril", "emergency"] as const;
export type FloorPriority = (typeof FLOOR_PRIORITIES)[number];

/** True if somebody of priority `a` takes the floor from a holder of priority `b`. */
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
  /** When the wait ends if nothing is heard before, ms since 1970. */
  expiresAtMs: number;
}

/** True if it is the same grant of a floor, renewed or not, or if nobody speaks both times. */
export function isSameFloor(a: ActiveSpeaker | undefined, b: ActiveSpeaker | undefined): boolean {
  return a?.userId === b?.userId && a?.startedAtMs === b?.startedAtMs && a?.priority === b?.priority;
}

/** Who speaks to the whole event while a pause stands. */
export interface Broadcaster {
  userId: string;
  userName: string;
}

/** An event-wide latch. Times are ms since 1970, by the store's clock. */
export interface SpeakerPause {
  pauseId: string;
  reason: string;
  actor: string;
  startedAtMs: number;
  /** Equal to `startedAtMs` where speakers were cut without a latch. */
  expiresAtMs: number;
  exemptUserIds: string[];
  broadcaster?: Broadcaster | undefined;
}

/** Reject causes of 3GPP TS 24.380, 8.2.6.2. */
export type FloorDenyCause = "anotherHasPermission" | "retryAfter" | "receiveOnly" | "queueFull";

/** Revoke causes of 3GPP TS 24.380, 8.2.10.2. */
export type FloorRevokeCause = "talkedTooLong" | "noPermission" | "preEmpted" | "other";

/** The refusal to renew or give back a lease that is not the current one. */
export function staleLease(channelId: string): SquelchError {
  return new SquelchError("failedPrecondition", `lease_id: the floor of "${channelId}" is not held under this lease`);
}

/** The refusal to give back a floor, or a place in its queue, in the name of somebody who has neither. */
export function notTheHolder(channelId: string): SquelchError {
  const holder = "that user under that session_id";
  return new SquelchError(
    "failedPrecondition",
    `user_id: the floor of "${channelId}" is neither held nor waited for by ${holder}`,
  );
}

/** True if a pause may take the place of the standing one: it names it, else has the same broadcaster. */
export function mayReplace(
  { replacePauseId, broadcaster }: { replacePauseId?: string | undefined; broadcaster?: Broadcaster | undefined },
  standing: SpeakerPause,
): boolean {
  if (replacePauseId !== undefined) return replacePauseId === standing.pauseId;
  return broadcaster !== undefined && broadcaster.userId === standing.broadcaster?.userId;
}

/** The refusal to pause an event that is paused already. */
export function alreadyPaused(eventId: string, standing: SpeakerPause): SquelchError {
  const { actor, broadcaster, expiresAtMs, pauseId } = standing;
  const forWhom = broadcaster === undefined ? "" : ` for ${broadcaster.userId} to speak`;
  return new SquelchError(
    "failedPrecondition",
    `event_id: "${eventId}" is already paused by ${actor}${forWhom} until ${new Date(expiresAtMs).toISOString()} ` +
      `(pause_id ${pauseId}); resume it first, or take its place with replace_pause_id`,
  );
}

/** True if `pause` keeps `userId` from speaking. */
export function isHeldBack(pause: SpeakerPause | undefined, userId: string): boolean {
  if (pause === undefined || pause.expiresAtMs <= pause.startedAtMs) return false;
  return pause.broadcaster?.userId !== userId && !pause.exemptUserIds.includes(userId);
}
