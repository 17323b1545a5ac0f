import type { Problem } from "../api/problem.js";

/** The state of the connection between page and server. */
export type Link =
  | { state: "connecting" }
  | { state: "open" }
  | { state: "lost"; problem: Problem }
  /** The server refused the token. The page does not try again until the user signs in. */
  | { state: "refused"; problem: Problem };

/** The state of a feed. */
export interface FeedState {
  link: Link;
  /** The health of the server's own feed from the last checkpoint; undefined before the first one of the stream. */
  isHealthy: boolean | undefined;
  /** The last time at which the whole picture was proven to be up to date, by `performance.now()`. */
  provenMs: number | undefined;
}

/** How up to date the picture is. In every state except `live` it may be out of date, and the page must show this. */
export interface Freshness {
  level: "live" | "connecting" | "unhealthy" | "lost";
  /** The time since the picture was last proven to be up to date, ms; undefined if it never was. */
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
