import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { Redis } from "ioredis";
import { expect, it } from "vitest";
import { SnapshotReason } from "../../gen/squelch/v1/permission_service_pb.js";
import { connect, watchOn } from "../support/clients/watchClient.js";
import { startRedis } from "../support/redis/startRedis.js";
import { spawnSquelch } from "../support/startSquelch.js";
import { waitFor } from "../support/waitFor.js";

const CHANGES = 100_000;
const WARM_UP = 30_000;
const WAVE = 2_000;
const USERS = 500;

async function residentBytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * 1_024;
}

it("a stalled watcher costs nothing while 100,000 changes pass, and ends with the right picture (pitfall 29, G8)", async () => {
  const redis = await startRedis();
  const replica = await spawnSquelch(["--redis-url", redis.url, "--log-level", "warn"]);
  const publisher = new Redis(redis.url);
  const readers = connect(replica.grpcAddress);
  const stalledClient = connect(replica.grpcAddress);
  try {
    const eventId = randomUUID();
    // Two lists of about 1 KiB, in turn for each user, so that every update is a change.
    const lists = ["a", "b"].map((name) => Array.from({ length: 20 }, (_, index) => `${eventId}-${name}-${index}`));
    const reader = watchOn(readers, { eventIds: [eventId] });
    const stalled = watchOn(stalledClient, { eventIds: [eventId] });
    await reader.caughtUp();
    await stalled.caughtUp();
    stalled.setReading(false);

    let warm = 0;
    for (let sent = 0; sent < CHANGES; sent += WAVE) {
      const wave = publisher.pipeline();
      for (let index = sent; index < sent + WAVE; index++) {
        const channelIds = lists[Math.floor(index / USERS) % 2];
        wave.publish("vp:membership_updates", JSON.stringify({ eventId, userId: `u${index % USERS}`, channelIds }));
      }
      await wave.exec();
      await waitFor(() => reader.picture.changes.length >= sent + WAVE, {
        timeoutMs: 120_000,
        message: `${sent} changes`,
      });
      if (sent + WAVE === WARM_UP) warm = await residentBytes(replica.pid);
    }
    expect(reader.error).toBeUndefined();
    expect(reader.picture.changes).toHaveLength(CHANGES);
    // What passed since the warm-up is about 150 MB.
    expect((await residentBytes(replica.pid)) - warm).toBeLessThan(40e6);

    expect(stalled.picture.changes.length).toBeLessThan(CHANGES / 10);
    stalled.setReading(true);
    await waitFor(() => stalled.picture.events.get(eventId)?.revision === CHANGES, { timeoutMs: 120_000 });
    expect(stalled.error).toBeUndefined();
    expect(stalled.picture.snapshotReasons).toEqual([SnapshotReason.INITIAL, SnapshotReason.CURSOR_TOO_OLD]);
    expect(stalled.picture.events.get(eventId)?.users).toEqual(reader.picture.events.get(eventId)?.users);
  } finally {
    readers.close();
    stalledClient.close();
    publisher.disconnect();
    await replica.stop();
    await redis.stop();
  }
}, 600_000);
