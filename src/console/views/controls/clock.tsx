import { formatSpan } from "../../model/format.js";
import { freshnessOf } from "../../model/freshness.js";
import { useConsole, useNow } from "../console.js";

/** The store's time, ms since 1970; it stands still at when the picture was last true, where the page is not live. */
function useStoreNow(intervalMs: number): number {
  const { feed, fleet } = useConsole();
  const { level, ageMs = 0 } = freshnessOf(feed, useNow(intervalMs));
  return fleet.now() - (level === "live" ? 0 : ageMs);
}

/** Counts up from a time of the store, in seconds. */
export function Elapsed({ sinceMs }: { sinceMs: number }) {
  return <span class="digits">{formatSpan(useStoreNow(500) - sinceMs)}</span>;
}

/** Counts down to a time of the store. At 0 it says that the end is awaited: only the server can say that it came. */
export function Countdown({ untilMs }: { untilMs: number }) {
  const restMs = untilMs - useStoreNow(250);
  return <span class="digits">{restMs > 0 ? formatSpan(restMs + 999) : "ending"}</span>;
}
