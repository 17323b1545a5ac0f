import { setTimeout as sleep } from "node:timers/promises";
import { rotatingUpdate } from "../clients/receiverProtocol.js";
import { Receivers } from "../clients/receivers.js";
import { percentile } from "../report/percentiles.js";
import { withFleet } from "../servers/fleet.js";
import { publishUpdates } from "../support/openLoop.js";
import type { Row, Scenario } from "../support/scenario.js";

const ARRIVAL_TIMEOUT_MS = 20_000;

export interface ResumeOptions {
  routers: number;
  events: number;
  /** The number of users of each event. */
  users: number;
  updatesPerSecond: number;
  /** The duration of the load; the restart comes after a quarter of it. */
  seconds: number;
  restarts: readonly Restart[];
}

/** A restart of one of three replicas. */
interface Restart {
  name: string;
  signal: NodeJS.Signals;
  /**
   * True if routers may reconnect to the other replicas. False if they reconnect to the restarted one, which has lost
   * its memory.
   */
  mayMove: boolean;
}

const REPLICAS = 3;
const DRAIN: Restart = { name: "SIGTERM, other replicas stay", signal: "SIGTERM", mayMove: true };
const CRASH: Restart = { name: "kill -9, other replicas stay", signal: "SIGKILL", mayMove: true };
const LONE_DRAIN: Restart = { name: "SIGTERM, no other replica", signal: "SIGTERM", mayMove: false };
const LONE_CRASH: Restart = { name: "kill -9, no other replica", signal: "SIGKILL", mayMove: false };

/** Measures how routers reconnect when their replica is restarted. */
export const resume: Scenario<ResumeOptions> = {
  name: "resume",
  title: "Restarts a replica under load: how many streams resume, and how long routers are away",
  columns: {
    restart: "restart",
    routers: "routers",
    events: "events",
    updatesPerSecond: "updates/s",
    missing: "missing",
    repeated: "repeated",
    away: "routers\naway",
    resumedPercent: "resumed\n%",
    snapshots: "snapshots",
    p50AwayMs: "p50\naway ms",
    maxAwayMs: "max\naway ms",
    spreadMs: "returns\nspread ms",
  },
  full: {
    routers: 200,
    events: 20,
    users: 50,
    updatesPerSecond: 100,
    seconds: 20,
    restarts: [DRAIN, CRASH, LONE_DRAIN, LONE_CRASH],
  },
  smoke: { routers: 8, events: 3, users: 5, updatesPerSecond: 100, seconds: 2, restarts: [DRAIN, LONE_CRASH] },

  async run(options) {
    const rows: Row[] = [];
    for (const restart of options.restarts) rows.push(await measure(restart, options));
    return rows;
  },
};

function measure({ name, signal, mayMove }: Restart, options: ResumeOptions): Promise<Row> {
  const { routers, events, users, updatesPerSecond, seconds } = options;
  return withFleet(REPLICAS, async (fleet) => {
    const receivers = await Receivers.start();
    try {
      const eventIds = Array.from({ length: events }, (_, index) => `event-${index}`);
      const count = seconds * updatesPerSecond;
      const addresses = mayMove ? fleet.addresses : fleet.addresses.slice(0, 1);
      await receivers.open({ kind: "routers", addresses, eventIds, prefix: "router-", receivers: routers }, count);
      const placed = [...fleet.placements().values()];
      const counts = fleet.replicas.map((_, replica) => placed.filter((place) => place === replica).length);
      const fullest = counts.indexOf(Math.max(...counts));
      await Promise.all([
        publishUpdates(fleet.redisClient, {
          count,
          perSecond: updatesPerSecond,
          message: (sequence) => rotatingUpdate(eventIds, users, sequence),
        }),
        sleep((seconds / 4) * 1_000).then(() => fleet.restart(fullest, signal)),
      ]);
      await receivers.waitFor(count * routers, ARRIVAL_TIMEOUT_MS);
      const { receivedAtUs, repeated, absences } = await receivers.collect();
      if (absences.length === 0) throw new Error(`${name}: no router was connected to the replica`);
      const snapshots = absences.reduce((sum, absence) => sum + absence.snapshots, 0);
      const awayMs = absences.map((absence) => absence.awayMs);
      const overAtMs = absences.map((absence) => absence.overAtMs);
      return {
        restart: name,
        routers,
        events,
        updatesPerSecond,
        missing: receivedAtUs.filter((atUs) => atUs === 0).length,
        repeated,
        away: absences.length,
        resumedPercent: 100 * (1 - snapshots / (absences.length * events)),
        snapshots,
        p50AwayMs: percentile(awayMs, 50),
        maxAwayMs: percentile(awayMs, 100),
        spreadMs: Math.max(...overAtMs) - Math.min(...overAtMs),
      };
    } finally {
      await receivers.close();
    }
  });
}
