import type { Problem } from "../api/problem.js";

/** How the page and the server are connected. */
export type Link =
  | { state: "connecting" }
  | { state: "open" }
  | { state: "lost"; problem: Problem }
  /** Nothing more is tried: somebody has to sign in. */
  | { state: "refused"; problem: Problem };

/** What a feed knows of itself. */
export interface FeedState {
  link: Link;
  /** What the server last said of its own feed; undefined before the first checkpoint of the stream. */
  isHealthy: boolean | undefined;
  /** When everything in the picture was last proven to be true, ms on the clock of `performance.now()`. */
  provenMs: number | undefined;
}

/** What the picture is worth. Anything but `live` may be out of date and must be shown so. */
export interface Freshness {
  level: "live" | "connecting" | "unhealthy" | "lost";
  /** Since all of it was proven to be true, ms; undefined if it never was. */
  ageMs: number | undefined;
}

export function freshnessOf(feed: FeedState, nowMs: number): Freshness {
  const ageMs = feed.provenMs === undefined ? undefined : Math.max(nowMs - feed.provenMs, 0);
  if (feed.link.state === "lost" || feed.link.state === "refused") return { level: "lost", ageMs };
  if (feed.link.state === "connecting" || feed.isHealthy === undefined) {
    return { level: ageMs === undefined ? "connecting" : "lost", ageMs };
  }
  return { level: feed.isHealthy ? "live" : "unhealthy", ageMs };
}
