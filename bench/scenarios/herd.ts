import { writeFile } from "node:fs/promises";
import { PermissionService } from "../../gen/squelch/v1/permission_service_pb.js";
import { sync } from "../../test/support/clients/syncClient.js";
import { connect } from "../../test/support/clients/watchClient.js";
import { Receivers } from "../clients/receivers.js";
import { type SquelchPath, startSquelchPath } from "../paths/redis.js";
import { processCpuUs } from "../support/processCpu.js";
import { processMemoryMib } from "../support/processMemory.js";
import type { Row, Scenario } from "../support/scenario.js";

const EVENT_ID = "herd";
/** The value for clear_refs of a process that makes the kernel reset the peak of the process's memory. */
const FORGET_PEAK = "5";

export interface HerdOptions {
  watchers: number;
  /** The number of connections that the watchers share. One measurement for each number. */
  connections: readonly number[];
  /** The number of users of the event. */
  users: number;
  /** The number of channels of each user. */
  channels: number;
}

/** Measures the reconnect of all watchers at once. */
export const herd: Scenario<HerdOptions> = {
  name: "herd",
  title: "Watchers connect at the same time, with and without cursors. Measures until the last one is up to date",
  columns: {
    path: "path",
    connections: "connections",
    watchers: "watchers",
    receivedUsers: "users\nreceived",
    caughtUpMs: "all caught up\nafter ms",
    cpuUs: "replica CPU\nµs/watcher",
    rssBeforeMib: "RSS before\nMiB",
    rssGrowthMib: "peak growth\nMiB",
  },
  full: { watchers: 1_000, connections: [8, 1_000], users: 10_000, channels: 5 },
  smoke: { watchers: 6, connections: [2], users: 20, channels: 2 },
  plots: [
    { title: "Peak growth of the replica's memory", value: "rssGrowthMib", unit: "MiB", labels: ["connections"] },
    { title: "Time until all are up to date", value: "caughtUpMs", unit: "ms", labels: ["connections"] },
  ],

  async run(options) {
    const path = await startSquelchPath();
    const receivers = await Receivers.start();
    try {
      const cursor = await fill(path, options);
      const rows: Row[] = [await measure("first watcher", path, receivers, options, { watchers: 1, connections: 1 })];
      for (const connections of options.connections) {
        const herdOf = { watchers: options.watchers, connections };
        rows.push(await measure("without cursors", path, receivers, options, herdOf));
        rows.push(await measure("with cursors", path, receivers, options, { ...herdOf, cursor }));
      }
      return rows;
    } finally {
      await receivers.close();
      await path.close();
    }
  },
};

interface Cursor {
  epoch: string;
  revision: number;
}

async function fill({ address }: SquelchPath, { users, channels }: HerdOptions): Promise<Cursor> {
  const members = Array.from({ length: users }, (_, user) => ({
    userId: `user-${user}`,
    channelIds: Array.from({ length: channels }, (_, index) => `channel-${(user + index) % 100}`).sort(),
  }));
  const client = connect(address);
  try {
    await sync(client, { eventId: EVENT_ID, users: members });
    const { getUserPermissions } = PermissionService.method;
    const { cursor } = await client.unary(getUserPermissions, { eventId: EVENT_ID, userId: "user-0" });
    return { epoch: cursor?.epoch ?? "", revision: Number(cursor?.revision) };
  } finally {
    client.close();
  }
}

async function measure(
  way: string,
  path: SquelchPath,
  receivers: Receivers,
  { users }: HerdOptions,
  { watchers, connections, cursor }: { watchers: number; connections: number; cursor?: Cursor },
): Promise<Row> {
  const pid = path.servers.at(-1)?.pid as number;
  await writeFile(`/proc/${pid}/clear_refs`, FORGET_PEAK);
  const before = await processMemoryMib(pid);
  const cpuBeforeUs = await processCpuUs(pid);
  const startMs = performance.now();
  await receivers.open({ ...path.streams(EVENT_ID, watchers, connections), ...(cursor && { cursor }) }, 0);
  const caughtUpMs = performance.now() - startMs;
  const cpuUs = ((await processCpuUs(pid)) - cpuBeforeUs) / watchers;
  const { peak } = await processMemoryMib(pid);
  const { snapshotUsers } = await receivers.collect();
  if (snapshotUsers !== (cursor === undefined ? watchers * users : 0)) {
    throw new Error(`${way}: ${snapshotUsers} users were received`);
  }
  return {
    path: `Squelch, ${way}`,
    connections,
    watchers,
    receivedUsers: snapshotUsers,
    caughtUpMs,
    cpuUs,
    rssBeforeMib: before.now,
    rssGrowthMib: peak - before.now,
  };
}
