import { useEffect, useRef } from "preact/hooks";
import { lagsOf } from "../model/fleetStatus.js";
import { formatAge, formatCount } from "../model/format.js";
import { type Freshness, freshnessOf } from "../model/freshness.js";
import { useConsole, useLive, useNow } from "./console.js";

const HEADLINES: Readonly<Record<Freshness["level"], string>> = {
  live: "Live",
  connecting: "Connecting",
  unhealthy: "Not up to date: the server cannot prove that changes reach it",
  lost: "Not up to date: no connection to the server",
};

/** True while the page is proven to be up to date. */
export function useIsLive(): boolean {
  return useLive(({ feed }) => freshnessOf(feed, 0).level === "live");
}

/** A line that always shows if the page is live, or since when it is not. Its height is constant, so the page does not move. */
export function StatusBar() {
  const { announce, feed } = useConsole();
  const level = useLive(({ feed }) => freshnessOf(feed, 0).level);
  const lastLevel = useRef(level);
  useEffect(() => {
    if (level === lastLevel.current) return;
    if (level === "live") announce("Live again", "assertive");
    else if (lastLevel.current === "live") announce(HEADLINES[level], "assertive");
    lastLevel.current = level;
  }, [level, announce]);
  const { ageMs } = freshnessOf(feed, useNow(500));
  const problem = feed.link.state === "lost" ? feed.link.problem.text : undefined;
  return (
    <div class="status-bar" data-level={level}>
      <span class="status-dot" aria-hidden="true" />
      <strong>{HEADLINES[level]}</strong>
      <span class="status-age">{describeAge(level, ageMs)}</span>
      {problem !== undefined && <span class="status-problem">{problem}</span>}
      {level === "lost" && (
        <button type="button" class="small" onClick={() => feed.retryNow()}>
          Try now
        </button>
      )}
      {level === "live" && <FleetDigest />}
    </div>
  );
}

function describeAge(level: Freshness["level"], ageMs: number | undefined): string {
  if (ageMs === undefined) return level === "connecting" ? "" : "No data yet";
  return level === "live" ? `proven ${formatAge(ageMs)} ago` : `This page was up to date ${formatAge(ageMs)} ago`;
}

function FleetDigest() {
  const answer = useLive(({ fleet }) => fleet.answer);
  if (answer === undefined) return null;
  const { replicas, routers } = answer;
  const sick = replicas.filter(({ feedHealthy }) => !feedHealthy).length;
  const behind = routers.filter((router) => lagsOf(router).length > 0).length;
  const away = routers.filter(({ replicaIds }) => replicaIds.length === 0).length;
  const troubles = [
    sick > 0 && `${formatCount(sick, "replica")} not healthy`,
    behind > 0 && `${formatCount(behind, "router")} behind`,
    away > 0 && `${formatCount(away, "router")} not connected`,
  ].filter(Boolean);
  return (
    <a class="status-digest" href="#/fleet" data-trouble={troubles.length > 0}>
      {formatCount(replicas.length, "replica")}, {formatCount(routers.length, "router")}
      {troubles.length > 0 && `: ${troubles.join(", ")}`}
    </a>
  );
}
