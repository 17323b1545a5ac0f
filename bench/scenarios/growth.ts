import { setTimeout as sleep } from "node:timers/promises";
import type { GrpcClient } from "../../src/lib/grpcService.js";
import { sync } from "../../test/support/clients/syncClient.js";
import { connect, watchOn } from "../../test/support/clients/watchClient.js";
import { Receivers } from "../clients/receivers.js";
import type { Path } from "../paths/path.js";
import { type SquelchPath, startSquelchPath } from "../paths/redis.js";
import { measureDelivery } from "../support/measureDelivery.js";
import { processCpuUs } from "../support/processCpu.js";
import type { Row, Scenario } from "../support/scenario.js";

const CHANNELS_PER_USER = 4;
const MAX_CONNECTIONS = 8;
/** The rate of changes. It is so low that each change to 1,000 watchers is sent separately: batches would cost less. */
const CHANGES_PER_SECOND = 100;

/** The sizes of the fleet while changes are made. */
export interface Surroundings {
  /** The number of watchers of the event that changes. */
  watchers: number;
  users: number;
  channels: number;
  /** The number of entries in the event's log before the first change, at least as many as users. */
  logLength: number;
  /** The number of other events that the replica has loaded and that are watched. */
  otherEvents: number;
}

export interface GrowthOptions {
  /** The values of all other sizes while one of them is varied. */
  base: Surroundings;
  /** The values of each size, in ascending order. */
  sizes: Readonly<Record<keyof Surroundings, readonly number[]>>;
  changes: number;
  /** How long the servers' CPU is measured without changes, ms. */
  idleMs: number;
}

/** Measures what makes a change more expensive. */
export const growth: Scenario<GrowthOptions> = {
  name: "growth",
  title: `The CPU of one change at ${CHANGES_PER_SECOND} changes/s, without the CPU of idle servers, while one part of the load grows`,
  columns: {
    grows: "what grows",
    size: "to",
    changes: "changes",
    replicaCpuUs: "replica CPU\nµs/change",
    replicaTimes: "times that of\nthe smallest",
    redisCpuUs: "Redis CPU\nµs/change",
    redisTimes: "times that of\nthe smallest",
    missing: "missing",
    repeated: "repeated",
    disordered: "disordered",
  },
  full: {
    base: { watchers: 100, users: 1_000, channels: 100, logLength: 1_000, otherEvents: 0 },
    sizes: {
      watchers: [10, 100, 1_000],
      users: [100, 1_000, 10_000],
      channels: [10, 100, 1_000],
      logLength: [1_000, 3_000, 10_000],
      otherEvents: [0, 100, 1_000],
    },
    changes: 200,
    idleMs: 2_000,
  },
  smoke: {
    base: { watchers: 2, users: 5, channels: 10, logLength: 5, otherEvents: 0 },
    sizes: { watchers: [1, 4], users: [5, 10], channels: [5, 10], logLength: [5, 10], otherEvents: [0, 2] },
    changes: 10,
    idleMs: 50,
  },
  plots: [
    { title: "CPU of the replica for one change", value: "replicaCpuUs", unit: "µs", labels: ["size"] },
    { title: "CPU of Redis for one change", value: "redisCpuUs", unit: "µs", labels: ["size"] },
  ],

  async run({ base, sizes, changes, idleMs }) {
    const path = await startSquelchPath();
    const receivers = await Receivers.start();
    const client = connect(path.address);
    const rows: Row[] = [];
    try {
      // The first run is not measured: it warms the programs up.
      await measure(path, client, receivers, "warm-up", base, changes, idleMs);
      for (const grows of Object.keys(sizes) as (keyof Surroundings)[]) {
        let smallest: Cost | undefined;
        for (const size of sizes[grows]) {
          const eventId = `${grows}-${size}`;
          const cost = await measure(path, client, receivers, eventId, { ...base, [grows]: size }, changes, idleMs);
          smallest ??= cost;
          const replicaTimes = cost.replicaCpuUs / smallest.replicaCpuUs;
          rows.push({ grows, size, changes, ...cost, replicaTimes, redisTimes: cost.redisCpuUs / smallest.redisCpuUs });
        }
      }
      return rows;
    } finally {
      client.close();
      await receivers.close();
      await path.close();
    }
  },
};

interface Cost {
  replicaCpuUs: number;
  redisCpuUs: number;
  missing: number;
  repeated: number;
  disordered: number;
}

async function measure(
  path: SquelchPath,
  client: GrpcClient,
  receivers: Receivers,
  eventId: string,
  surroundings: Surroundings,
  changes: number,
  idleMs: number,
): Promise<Cost> {
  const { watchers, otherEvents } = surroundings;
  await fill(client, eventId, surroundings);
  const otherIds = Array.from({ length: otherEvents }, (_, index) => `${eventId}-other-${index}`);
  const others = otherEvents > 0 ? watchOn(client, { eventIds: otherIds }) : undefined;
  try {
    await others?.caughtUp();
    const idle = await measureIdle(path, idleMs);
    const connections = Math.min(MAX_CONNECTIONS, watchers);
    const load = { eventId, receivers: watchers, connections, warmUpMessages: 10, messages: changes };
    const delivery = await measureDelivery(path, receivers, { ...load, perSecond: CHANGES_PER_SECOND });
    const { cpuUs, ownCpuUs, deliveries, elapsedMs, missing, repeated, disordered } = delivery;
    const costOf = (cpuUsOfDelivery: number, idleUsPerMs: number) =>
      (cpuUsOfDelivery * deliveries - idleUsPerMs * elapsedMs) / changes;
    return {
      replicaCpuUs: costOf(ownCpuUs, idle.replica),
      redisCpuUs: costOf(cpuUs - ownCpuUs, idle.redis),
      ...{ missing, repeated, disordered },
    };
  } finally {
    others?.close();
  }
}

// Changes the channels of each member again and again until the log is long enough.
async function fill(client: GrpcClient, eventId: string, { users, channels, logLength }: Surroundings): Promise<void> {
  for (let round = 0; round * users < logLength; round++) {
    const members = Array.from({ length: users }, (_, user) => ({
      userId: `member-${user}`,
      channelIds: Array.from(
        { length: CHANNELS_PER_USER },
        (_, index) => `${eventId}-channel-${(CHANNELS_PER_USER * user + round + index) % channels}`,
      ),
    }));
    await sync(client, { eventId, users: members });
  }
}

// µs of CPU in each ms.
async function measureIdle({ servers }: Path, idleMs: number): Promise<{ redis: number; replica: number }> {
  const read = () => Promise.all(servers.map(({ pid }) => processCpuUs(pid)));
  const before = await read();
  const startMs = performance.now();
  await sleep(idleMs);
  const after = await read();
  const elapsedMs = performance.now() - startMs;
  const [redis = 0, replica = 0] = after.map((us, index) => (us - (before[index] as number)) / elapsedMs);
  return { redis, replica };
}
