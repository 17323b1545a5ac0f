import { setTimeout as sleep } from "node:timers/promises";
import type { Redis } from "ioredis";
import { eventKeys, MEMBERSHIP_UPDATES } from "../../src/engine/redis/keys.js";
import type { StoredMember } from "../../src/engine/redis/stores/logStore.js";
import { waitFor } from "../../test/support/waitFor.js";
import { LeanPublisher } from "../clients/leanPublisher.js";
import { type Fleet, withFleet } from "../servers/fleet.js";
import { processCpuUs } from "../support/processCpu.js";
import type { Row, Scenario } from "../support/scenario.js";

/** The number of channels of an event, and how many of them a user has at a time. */
const CHANNELS = 30;
const CHANNELS_PER_USER = 3;
/** The most updates that are published but not in the log yet: fewer than an event's queue holds. */
const MAX_OUTSTANDING = 8_000;
/** The interval at which the length of the log is read, ms. */
const POLL_MS = 10;
const TIMEOUT_MS = 60_000;

export interface IngestOptions {
  /** The number of replicas that apply the same updates. One measurement for each number. */
  replicas: readonly number[];
  events: number;
  users: number;
  updates: number;
  /** The rate of publishing; undefined means as fast as the log grows. */
  rates: readonly (number | undefined)[];
}

interface Update {
  eventId: string;
  userId: string;
  channelIds: string[];
}

/** Measures the control plane's updates on their way into the log. */
export const ingest: Scenario<IngestOptions> = {
  name: "ingest",
  title: "Applies updates of the control plane to the log, with one replica or several",
  columns: {
    rate: "published",
    replicas: "replicas",
    updates: "updates",
    updatesPerSecond: "updates/s",
    replicaCpuUs: "CPU µs an update,\neach replica",
    redisCpuUs: "CPU µs an update,\nRedis",
    scripts: "scripts",
    missing: "missing",
  },
  plots: [
    {
      title: "Updates of the control plane, CPU of Redis for each",
      value: "redisCpuUs",
      unit: "µs",
      labels: ["replicas"],
    },
  ],
  full: { replicas: [1, 2, 3], events: 20, users: 500, updates: 100_000, rates: [undefined, 1_000] },
  smoke: { replicas: [1, 2], events: 2, users: 5, updates: 100, rates: [undefined, 1_000] },

  async run(options) {
    const rows: Row[] = [];
    for (const size of options.replicas) {
      await withFleet(size, async (fleet) => {
        for (const [run, rate] of options.rates.entries()) rows.push(await measure(fleet, `run-${run}`, rate, options));
      });
    }
    return rows;
  },
};

async function measure(
  { redis, redisClient, replicas }: Fleet,
  run: string,
  rate: number | undefined,
  options: IngestOptions,
): Promise<Row> {
  const { events, users } = options;
  // The first round is not measured: it assigns the channels and warms the programs up.
  const count = rate === undefined ? options.updates : Math.min(options.updates, 5 * rate);
  const updateOf = (index: number) => toUpdate(run, index, events, users);
  const eventIds = Array.from({ length: events }, (_, index) => updateOf(index).eventId);
  const publisher = await LeanPublisher.open(redis.url, MEMBERSHIP_UPDATES);
  const applied = () => countApplied(redisClient, eventIds);
  try {
    const warmUp = events * users;
    await publishAll(publisher, 0, warmUp, updateOf, applied, undefined);
    const pids = replicas.map(({ pid }) => pid);
    await waitFor(() => areIdle(pids), { timeoutMs: TIMEOUT_MS });
    const readCpuUs = () => Promise.all([redis.pid, ...pids].map(processCpuUs));
    await redisClient.config("RESETSTAT");
    const before = await readCpuUs();
    const startMs = performance.now();
    await publishAll(publisher, warmUp, warmUp + count, updateOf, applied, rate);
    const elapsedMs = performance.now() - startMs;
    await waitFor(() => areIdle(pids), { timeoutMs: TIMEOUT_MS });
    const used = (await readCpuUs()).map((cpuUs, index) => cpuUs - (before[index] as number));
    const stats = await redisClient.info("commandstats");
    const scripts = [...stats.matchAll(/^cmdstat_eval\w*:calls=(\d+)/gm)].reduce(
      (sum, [, calls]) => sum + Number(calls),
      0,
    );
    const [redisCpuUs = 0, ...replicaCpuUs] = used;
    return {
      replicas: replicas.length,
      rate: rate === undefined ? "at full speed" : `${rate}/s`,
      updates: count,
      updatesPerSecond: Math.round((count * 1_000) / elapsedMs),
      replicaCpuUs: replicaCpuUs.reduce((sum, cpuUs) => sum + cpuUs, 0) / replicas.length / count,
      redisCpuUs: redisCpuUs / count,
      scripts,
      missing: await countWrong(redisClient, warmUp + count, updateOf, events * users),
    };
  } finally {
    publisher.close();
  }
}

// Every update differs from the previous one for the same user, so each one is a change.
function toUpdate(run: string, index: number, events: number, users: number): Update {
  const event = index % events;
  const user = Math.floor(index / events) % users;
  const round = Math.floor(index / (events * users));
  const eventId = `${run}-event-${event}`;
  const channelIds = Array.from(
    { length: CHANNELS_PER_USER },
    (_, offset) => `${eventId}-channel-${(user + round + offset * 7) % CHANNELS}`,
  );
  return { eventId, userId: `user-${user}`, channelIds };
}

async function publishAll(
  publisher: LeanPublisher,
  first: number,
  end: number,
  updateOf: (index: number) => Update,
  applied: () => Promise<number>,
  rate: number | undefined,
): Promise<void> {
  const startMs = performance.now();
  let published = first;
  for (;;) {
    const done = await applied();
    if (done >= end) return;
    if (performance.now() - startMs > TIMEOUT_MS) throw new Error(`${end - done} updates are missing from the log`);
    const due = rate === undefined ? end : first + Math.floor(((performance.now() - startMs) * rate) / 1_000);
    const until = Math.min(end, due, done + MAX_OUTSTANDING);
    const messages: string[] = [];
    for (; published < until; published++) {
      messages.push(JSON.stringify({ ...updateOf(published), action: "set_user_channels" }));
    }
    if (messages.length > 0) publisher.publish(messages);
    await sleep(POLL_MS);
  }
}

async function countApplied(redis: Redis, eventIds: readonly string[]): Promise<number> {
  const pipeline = redis.pipeline();
  for (const eventId of eventIds) pipeline.hget(eventKeys(eventId).meta, "revision");
  const revisions = (await pipeline.exec()) ?? [];
  return revisions.reduce((sum, [, revision]) => sum + Number(revision), 0);
}

/**
 * True if these processes were almost idle in the last moments. Other replicas may still check what one replica has
 * applied.
 */
async function areIdle(pids: readonly number[]): Promise<boolean> {
  const used = async () => (await Promise.all(pids.map(processCpuUs))).reduce((sum, cpuUs) => sum + cpuUs, 0);
  const before = await used();
  await sleep(100);
  return (await used()) - before < 20_000 * pids.length;
}

/** Counts the users whose channels differ from their last update. */
async function countWrong(
  redis: Redis,
  published: number,
  updateOf: (index: number) => Update,
  members: number,
): Promise<number> {
  let wrong = 0;
  for (let index = Math.max(published - members, 0); index < published; index++) {
    const { eventId, userId, channelIds } = updateOf(index);
    const stored = await redis.hget(eventKeys(eventId).members, userId);
    const has = stored === null ? [] : (JSON.parse(stored) as StoredMember).c;
    if (has.join() !== channelIds.sort().join()) wrong++;
  }
  return wrong;
}
