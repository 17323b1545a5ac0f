import { setTimeout as sleep } from "node:timers/promises";
import { eventKeys, MEMBERSHIP_UPDATES } from "../../src/engine/redis/keys.js";
import type { StoredMember } from "../../src/engine/redis/stores/logStore.js";
import { sync } from "../../test/support/clients/syncClient.js";
import { connect, type WatchClient, watchOn } from "../../test/support/clients/watchClient.js";
import { sequencedUpdate } from "../clients/receiverProtocol.js";
import { Receivers } from "../clients/receivers.js";
import { type HeldMemory, readHeldMemory, spawnMeasuredReplica } from "../servers/measuredReplica.js";
import { type Stack, withStack } from "../servers/stack.js";
import type { Row, Scenario } from "../support/scenario.js";

/** The number of users that are written at a time. */
const WRITE_CHUNK = 1_000;
const TIMEOUT_MS = 60_000;
/** The event of the watchers. */
const EVENT_ID = "idle";

export interface MemoryOptions {
  events: number;
  /** The number of users of each event; each one is a membership. */
  users: number;
  /** The number of channels of each user, out of the event's channels. */
  channels: number;
  channelsOfEvent: number;
  watchers: number;
  connections: number;
  /** How long a replica takes to release unused snapshots, ms: it checks every 2 s. */
  settleMs: number;
}

/** Measures the memory that a replica needs for memberships and for idle watchers. */
export const memory: Scenario<MemoryOptions> = {
  name: "memory",
  title:
    "The memory of a replica after garbage collection, for each membership (a user of an event, with all channels) and for each idle watcher",
  columns: {
    what: "for each",
    count: "how many",
    heapBytes: "heap\nbytes",
    bufferBytes: "buffers\nbytes",
    residentBytes: "resident\nbytes",
    idBytes: "bytes of\nthe ids",
    beyondIdsBytes: "heap and buffers\nbeyond the ids",
    missing: "missing",
  },
  full: {
    events: 50,
    users: 20_000,
    channels: 4,
    channelsOfEvent: 200,
    watchers: 10_000,
    connections: 8,
    settleMs: 5_000,
  },
  smoke: { events: 2, users: 50, channels: 4, channelsOfEvent: 10, watchers: 20, connections: 2, settleMs: 0 },
  plots: [{ title: "Memory of a replica", value: "beyondIdsBytes", unit: "bytes", labels: ["what"] }],

  run: (options) =>
    withStack(async (stack) => [...(await measureMemberships(stack, options)), await measureWatchers(stack, options)]),
};

// A replica that has just started loads the users.
async function measureMemberships(stack: Stack, options: MemoryOptions): Promise<Row[]> {
  const { events, users, settleMs } = options;
  const eventIds = Array.from({ length: events }, (_, event) => `event-${event}`);
  for (const eventId of eventIds) await fill(stack, eventId, options);
  const replica = await spawnMeasuredReplica(stack.redis.url);
  const client = connect(replica.grpcAddress);
  const watches: WatchClient[] = [];
  try {
    const before = await readHeldMemory(replica);
    for (const eventId of eventIds) {
      const watch = watchOn(client, { eventIds: [eventId] });
      watches.push(watch);
      await watch.caughtUp();
    }
    const loaded = await measured(replica, before, "membership, loaded", {
      count: events * users,
      idBytes: idBytesOf(options),
      settleMs,
    });
    const missing = countWrong(watches, eventIds, options);
    return [{ ...loaded, missing }];
  } finally {
    for (const watch of watches) watch.close();
    client.close();
    await replica.stop();
  }
}

async function measureWatchers(
  { redis, redisClient }: Stack,
  { watchers, connections, settleMs }: MemoryOptions,
): Promise<Row> {
  const replica = await spawnMeasuredReplica(redis.url);
  const receivers = await Receivers.start();
  try {
    const port = Number(replica.grpcAddress.split(":").at(-1));
    const source = { kind: "squelch", host: "127.0.0.1", port, eventId: EVENT_ID } as const;
    // The first watcher loads the event and warms the program up.
    await receivers.open({ ...source, receivers: connections, connections }, 0);
    await receivers.collect();
    const before = await readHeldMemory(replica);
    await receivers.open({ ...source, receivers: watchers, connections }, 1);
    const row = await measured(replica, before, "idle watcher", { count: watchers, idBytes: 0, settleMs });
    await redisClient.publish(MEMBERSHIP_UPDATES, sequencedUpdate(EVENT_ID, 0));
    await receivers.waitFor(watchers, TIMEOUT_MS);
    const { receivedAtUs } = await receivers.collect();
    return { ...row, missing: receivedAtUs.filter((atUs) => atUs === 0).length };
  } finally {
    await receivers.close();
    await replica.stop();
  }
}

async function measured(
  replica: Parameters<typeof readHeldMemory>[0],
  before: HeldMemory,
  what: string,
  { count, idBytes, settleMs }: { count: number; idBytes: number; settleMs: number },
): Promise<Row> {
  await sleep(settleMs);
  const after = await readHeldMemory(replica);
  const each = (field: keyof HeldMemory) => (after[field] - before[field]) / count;
  const [heapBytes, bufferBytes] = [each("heap"), each("buffers")];
  return {
    what,
    count,
    heapBytes,
    bufferBytes,
    residentBytes: each("resident"),
    idBytes: idBytes / count,
    beyondIdsBytes: heapBytes + bufferBytes - idBytes / count,
  };
}

// Writes the members directly to Redis, because a sync of a million users would take minutes: one user over the API,
// the others in the same format.
async function fill({ grpcClient, redisClient }: Stack, eventId: string, options: MemoryOptions): Promise<void> {
  const first = userIdOf(0);
  await sync(grpcClient, { eventId, users: [{ userId: first, channelIds: channelIdsOf(eventId, 0, options) }] });
  const { members } = eventKeys(eventId);
  const stored = JSON.parse((await redisClient.hget(members, first)) ?? "") as StoredMember;
  for (let user = 1; user < options.users; user += WRITE_CHUNK) {
    const fields: string[] = [];
    for (let next = user; next < Math.min(user + WRITE_CHUNK, options.users); next++) {
      const member: StoredMember = { ...stored, c: channelIdsOf(eventId, next, options) };
      fields.push(userIdOf(next), JSON.stringify(member));
    }
    await redisClient.hset(members, ...fields);
  }
}

function userIdOf(user: number): string {
  return `user-${user}`;
}

// Distributed so that few users of an event have the same channels: below 49 channels all steps differ.
function channelIdsOf(eventId: string, user: number, { channels, channelsOfEvent }: MemoryOptions): string[] {
  const step = 1 + (Math.floor(user / channelsOfEvent) % Math.floor((channelsOfEvent - 1) / channels));
  return Array.from(
    { length: channels },
    (_, index) => `${eventId}-channel-${(user + index * step) % channelsOfEvent}`,
  ).sort();
}

// Counts the ids of each event's users and channels once per event, because they are in memory in any case.
function idBytesOf({ events, users, channelsOfEvent }: MemoryOptions): number {
  let bytes = 0;
  for (let user = 0; user < users; user++) bytes += events * userIdOf(user).length;
  return bytes + events * channelsOfEvent * "event-0-channel-0".length;
}

function countWrong(watches: readonly WatchClient[], eventIds: readonly string[], options: MemoryOptions): number {
  let wrong = 0;
  for (const [index, eventId] of eventIds.entries()) {
    for (let user = 0; user < options.users; user++) {
      const received = watches[index]?.picture.channelsOf(eventId, userIdOf(user));
      if (received?.join() !== channelIdsOf(eventId, user, options).join()) wrong++;
    }
  }
  return wrong;
}
