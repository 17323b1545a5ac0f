import type { LogPosition } from "./cursor.js";

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
export function hasApplied({ position }: RouterProgress, { epoch, revision }: LogPosition): boolean {
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
