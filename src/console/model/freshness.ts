import type { LiveFeed } from "./liveFeed.js";

/** What the picture is worth. Anything but `live` may be out of date and must be shown so. */
export interface Freshness {
  level: "live" | "connecting" | "unhealthy" | "lost";
  /** Since all of it was proven to be true, ms; undefined if it never was. */
  ageMs: number | undefined;
}

export function freshnessOf(feed: Pick<LiveFeed, "link" | "isHealthy" | "provenMs">, nowMs: number): Freshness {
  const ageMs = feed.provenMs === undefined ? undefined : Math.max(nowMs - feed.provenMs, 0);
  if (feed.link.state === "lost" || feed.link.state === "refused") return { level: "lost", ageMs };
  if (feed.link.state === "connecting" || feed.isHealthy === undefined) {
    return { level: ageMs === undefined ? "connecting" : "lost", ageMs };
  }
  return { level: feed.isHealthy ? "live" : "unhealthy", ageMs };
}
