import type { LogPosition } from "./cursor.js";

/** How long after its last sign of life callers still wait for a router, ms. */
export const ROUTER_SILENCE_MS = 60_000;

/** How far a router has applied the changes of one event. Times are ms since 1970, by the store's clock. */
export interface RouterProgress {
  routerId: string;
  /** The position up to which it has applied all changes; undefined until its first report. */
  position?: LogPosition | undefined;
  /** When it first reported that position. */
  appliedMs?: number | undefined;
  /** When it last reported. Before its first report: when it began to watch. */
  seenMs: number;
  /** When a replica last recorded that its watch is open; undefined if none did lately. */
  heldMs?: number | undefined;
}

/** Returns until when callers wait for a router that gives no further sign of life, ms since 1970 by the store's clock. */
export function expectedUntilMs({ seenMs, heldMs = 0 }: RouterProgress): number {
  return Math.max(seenMs, heldMs) + ROUTER_SILENCE_MS;
}

/** True if a router has reported that it has applied everything up to a position of the same epoch. */
export function hasApplied({ position }: RouterProgress, { epoch, revision }: LogPosition): boolean {
  return position?.epoch === epoch && position.revision >= revision;
}

/** The routers of an event, with the end of the log and the time when they were read. */
export interface EventRouters {
  /** The end of the log; undefined for an event without an epoch. */
  position?: LogPosition | undefined;
  /** The store's clock, ms since 1970. */
  nowMs: number;
  /** Routers with a recent sign of life. A router that has just been silent for too long may still be included. */
  routers: RouterProgress[];
}

/** A change of a router: it has applied more, is new, or has left. */
export type RouterNews = (RouterProgress & { isGone?: false }) | { routerId: string; isGone: true };
