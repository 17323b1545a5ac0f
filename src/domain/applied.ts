import type { Cursor } from "./cursor.js";
import type { LogPosition, Unsubscribe } from "./ports.js";

/** A router of which nothing was heard for this long is waited for no longer, ms. */
export const ROUTER_SILENCE_MS = 60_000;

/** How far a router has come in one event. Times are in ms since 1970, by the store's clock. */
export interface RouterProgress {
  routerId: string;
  /** Up to where it has acted; undefined until it has reported. */
  position?: LogPosition | undefined;
  /** When that position was first reported. */
  appliedMs?: number | undefined;
  /** When it last reported, else when it was first held. */
  seenMs: number;
  /** When a replica last saw its watch open; undefined if none did lately. */
  heldMs?: number | undefined;
}

/** Until when a router is waited for if nothing more is heard of it, ms since 1970 by the store's clock. */
export function expectedUntilMs({ seenMs, heldMs = 0 }: RouterProgress): number {
  return Math.max(seenMs, heldMs) + ROUTER_SILENCE_MS;
}

/** True if a router is known to have acted on everything up to `position`. Another epoch says nothing. */
export function hasInForce({ position }: RouterProgress, { epoch, revision }: LogPosition): boolean {
  return position?.epoch === epoch && position.revision >= revision;
}

/** The routers of an event, and what was true when they were read. */
export interface EventRouters {
  /** The end of the log; undefined for an event without an epoch. */
  position?: LogPosition | undefined;
  /** The store's clock, ms since 1970. */
  nowMs: number;
  /** Those of whom something was heard lately; one that has been silent for too long may still be among them. */
  routers: RouterProgress[];
}

/** A router has come further, is new, or has left. */
export type RouterNews = (RouterProgress & { isGone?: false }) | { routerId: string; isGone: true };

/** Which routers have the changes of an event in force. What is said here lasts for a minute. */
export interface AppliedStore {
  /** A router watches these events: it is waited for from now on. */
  holdRouter(routerId: string, eventIds: readonly string[]): Promise<void>;
  /**
   * A router has acted on everything up to these positions. One that is behind what is known, ahead of the log, or of
   * another epoch than the present one is no more than a sign of life; one of an event without an epoch is nothing.
   */
  reportApplied(routerId: string, cursors: readonly Cursor[]): Promise<void>;
  /** A router has given up these events. */
  releaseRouter(routerId: string, eventIds: readonly string[]): Promise<void>;
  readRouters(eventId: string): Promise<EventRouters>;
  /** Calls back for all news but signs of life. Resolves when it is certain to miss none. */
  followRouters(eventId: string, listener: (news: RouterNews) => void): Promise<Unsubscribe>;
}
