import { setTimeout as sleep } from "node:timers/promises";
import { type Receipts, rotatingUpdate, type Source } from "../clients/receiverProtocol.js";
import { Receivers } from "../clients/receivers.js";
import { percentile } from "../report/percentiles.js";
import { type Fleet, withFleet } from "../servers/fleet.js";
import { publishUpdates } from "../support/openLoop.js";
import type { Row, Scenario } from "../support/scenario.js";

const REPLICAS = 3;
/** The longest wait for the last messages, ms. A message that has not arrived by then is missing. */
const ARRIVAL_TIMEOUT_MS = 20_000;

export interface FailoverOptions {
  /** The number of routers. Each is a `PermissionClient` that knows all replicas. */
  routers: number;
  /** The least number of routers on each replica. */
  fewestRouters: number;
  events: number;
  /** The number of users of each event. */
  users: number;
  updatesPerSecond: number;
  warmUpSeconds: number;
  /** The duration of the measurement; half of it is before the kill. */
  seconds: number;
}

interface Run {
  publishedAtUs: number[];
  receipts: Receipts;
  /** The receivers on the replica that is killed; without a kill, those on the same replica. */
  victims: Set<number>;
}

/** Measures what watchers of the other replicas notice when one replica is killed. */
export const failover: Scenario<FailoverOptions> = {
  name: "failover",
  title: "Ends one of three replicas with kill -9 under steady load, compared with the same load without the kill",
  columns: {
    run: "run",
    routers: "routers",
    events: "events",
    updates: "updates",
    updatesPerSecond: "updates/s",
    missing: "missing",
    repeated: "repeated",
    p50Ms: "p50 ms",
    p99Ms: "p99 ms",
    longestGapMs: "longest\ngap ms",
    awayMs: "longest\naway ms",
    resumed: "resumed\nevents",
    snapshots: "snapshots",
  },
  full: {
    routers: 12,
    fewestRouters: 3,
    events: 30,
    users: 50,
    updatesPerSecond: 1_000,
    warmUpSeconds: 5,
    seconds: 20,
  },
  smoke: { routers: 6, fewestRouters: 1, events: 3, users: 5, updatesPerSecond: 200, warmUpSeconds: 0.2, seconds: 1 },

  run: (options) =>
    withFleet(REPLICAS, async (fleet) => {
      const receivers = await Receivers.start();
      try {
        const calm = await measure("calm", fleet, receivers, options, async () => undefined);
        const killed = await measure("killed", fleet, receivers, options, (victim) => fleet.restart(victim, "SIGKILL"));
        const isVictim = (run: Run, expected: boolean) => (receiver: number) => run.victims.has(receiver) === expected;
        return [
          toRow("no kill, all", calm, options, () => true),
          toRow("no kill, two replicas", calm, options, isVictim(calm, false)),
          toRow("kill -9, routers of the other two", killed, options, isVictim(killed, false)),
          toRow("kill -9, routers of the killed replica", killed, options, isVictim(killed, true)),
        ];
      } finally {
        await receivers.close();
      }
    }),
};

async function measure(
  name: string,
  fleet: Fleet,
  receivers: Receivers,
  options: FailoverOptions,
  strike: (victim: number) => Promise<void>,
): Promise<Run> {
  const { events, users, updatesPerSecond, warmUpSeconds, seconds } = options;
  const eventIds = Array.from({ length: events }, (_, index) => `${name}-${index}`);
  const count = (warmUpSeconds + seconds) * updatesPerSecond;
  const { victim, victims } = await openRouters(name, eventIds, count, fleet, receivers, options);
  const [publishedAtUs] = await Promise.all([
    publishUpdates(fleet.redisClient, {
      count,
      perSecond: updatesPerSecond,
      message: (sequence) => rotatingUpdate(eventIds, users, sequence),
    }),
    sleep((warmUpSeconds + seconds / 2) * 1_000).then(() => strike(victim)),
  ]);
  await receivers.waitFor(count * options.routers, ARRIVAL_TIMEOUT_MS);
  return { publishedAtUs, receipts: await receivers.collect(), victims };
}

// Routers choose a replica at random. They reconnect until each replica has enough of them. The first replica is the
// one to be killed.
async function openRouters(
  name: string,
  eventIds: readonly string[],
  count: number,
  fleet: Fleet,
  receivers: Receivers,
  { routers, fewestRouters }: FailoverOptions,
): Promise<{ victim: number; victims: Set<number> }> {
  for (let attempt = 0; ; attempt++) {
    const prefix = `${name}-${attempt}-`;
    const source: Source = { kind: "routers", addresses: fleet.addresses, eventIds, prefix, receivers: routers };
    await receivers.open(source, count);
    const placements = fleet.placements();
    const groups = fleet.replicas.map(() => new Set<number>());
    for (let receiver = 0; receiver < routers; receiver++) {
      groups[placements.get(`${prefix}${receiver}`) ?? 0]?.add(receiver);
    }
    const [victims] = groups;
    if (victims !== undefined && groups.every(({ size }) => size >= fewestRouters)) return { victim: 0, victims };
    await receivers.collect();
  }
}

function toRow(run: string, measured: Run, options: FailoverOptions, isWanted: (receiver: number) => boolean): Row {
  const { routers, events, warmUpSeconds, updatesPerSecond } = options;
  const { publishedAtUs, receipts } = measured;
  const first = warmUpSeconds * updatesPerSecond;
  const wanted = Array.from({ length: routers }, (_, receiver) => receiver).filter(isWanted);
  const delaysMs: number[] = [];
  let longestGapUs = 0;
  for (const receiver of wanted) {
    const arrivedAtUs: number[] = [];
    for (let sequence = first; sequence < publishedAtUs.length; sequence++) {
      const atUs = receipts.receivedAtUs[sequence * routers + receiver] as number;
      if (atUs === 0) continue;
      arrivedAtUs.push(atUs);
      delaysMs.push((atUs - (publishedAtUs[sequence] as number)) / 1_000);
    }
    arrivedAtUs.sort((one, other) => one - other);
    for (const [index, atUs] of arrivedAtUs.entries()) {
      if (index > 0) longestGapUs = Math.max(longestGapUs, atUs - (arrivedAtUs[index - 1] as number));
    }
  }
  const absences = receipts.absences.filter(({ receiver }) => isWanted(receiver));
  const snapshots = absences.reduce((sum, absence) => sum + absence.snapshots, 0);
  const updates = publishedAtUs.length - first;
  const spanUs = (publishedAtUs.at(-1) as number) - (publishedAtUs[first] as number);
  return {
    run,
    routers: wanted.length,
    events,
    updates,
    updatesPerSecond: Math.round(((updates - 1) * 1e6) / spanUs),
    missing: updates * wanted.length - delaysMs.length,
    repeated: receipts.repeated,
    p50Ms: percentile(delaysMs, 50),
    p99Ms: percentile(delaysMs, 99),
    longestGapMs: longestGapUs / 1_000,
    awayMs: absences.length > 0 ? Math.max(...absences.map(({ awayMs }) => awayMs)) : undefined,
    resumed: absences.length * events - snapshots,
    snapshots,
  };
}
