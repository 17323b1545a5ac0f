import { formatSpan } from "../../model/format.js";
import { freshnessOf } from "../../model/freshness.js";
import { useConsole, useNow } from "../console.js";

/** Returns the time by the clock of Redis, ms since 1970. If the page is not live, the time of its last proof. */
function useStoreNow(intervalMs: number): number {
  const { feed, fleet } = useConsole();
  const { level, ageMs = 0 } = freshnessOf(feed, useNow(intervalMs));
  return fleet.now() - (level === "live" ? 0 : ageMs);
}

/** Shows the time since a given time by the clock of Redis, updated every second. */
export function Elapsed({ sinceMs }: { sinceMs: number }) {
  return <span class="digits">{formatSpan(useStoreNow(500) - sinceMs)}</span>;
}

/** Shows a countdown by the clock of Redis. At 0 it shows that the end is awaited, because only the server can confirm it. */
export function Countdown({ untilMs }: { untilMs: number }) {
  const restMs = untilMs - useStoreNow(250);
  return <span class="digits">{restMs > 0 ? formatSpan(restMs + 999) : "ending"}</span>;
}
