import { randomUUID } from "node:crypto";
import { afterEach, describe, expect, it } from "vitest";
import { createRedisEngine } from "../../../src/engine/redis/engine.js";
import { createLogger } from "../../../src/lib/logger.js";
import { PermissionSyncManager } from "../../../src/server/state/permissionSync.js";
import { findFreePort } from "../../support/childProcess.js";
import { connect, watchOn } from "../../support/clients/watchClient.js";
import { startRedis } from "../../support/redis/startRedis.js";
import { startSquelch } from "../../support/startSquelch.js";
import { waitFor } from "../../support/waitFor.js";

const logger = createLogger("test", "silent");
const teardowns: (() => unknown)[] = [];
afterEach(async () => {
  for (const teardown of teardowns.splice(0).reverse()) await teardown();
});

const update = (userId: string) => JSON.stringify({ eventId: "e1", userId, channelIds: ["a"] });

describe("PermissionSyncManager", () => {
  it("keeps trying when the first connection fails (pitfall 7)", async () => {
    const port = await findFreePort();
    const seen: string[] = [];
    const sync = new PermissionSyncManager((userId) => seen.push(userId), {
      redisUrl: `redis://127.0.0.1:${port}`,
      logger,
    });
    await sync.start();
    expect(sync.isConnected()).toBe(false);
    const redis = await startRedis({ port });
    teardowns.push(
      () => redis.stop(),
      () => sync.stop(),
    );
    await waitFor(() => sync.isConnected());
    await redis.cli("PUBLISH", "vp:membership_updates", update("u1"));
    await waitFor(() => seen.length === 1);
  });

  it("recovers by itself when its connection is cut, and delivers each update once (pitfall 6)", async () => {
    const redis = await startRedis();
    teardowns.push(() => redis.stop());
    const seen: string[] = [];
    const sync = new PermissionSyncManager((userId) => seen.push(userId), { redisUrl: redis.url, logger });
    teardowns.push(() => sync.stop());
    await sync.start();
    await waitFor(() => sync.isConnected());
    for (let round = 0; round < 2; round++) {
      await redis.cli("CLIENT", "KILL", "TYPE", "pubsub");
      await waitFor(() => !sync.isConnected());
      await waitFor(() => sync.isConnected());
      await redis.cli("PUBLISH", "vp:membership_updates", update(`u${round}`));
      await waitFor(() => seen.length === round + 1);
    }
    expect(seen).toEqual(["u0", "u1"]);
    expect(await redis.cli("PUBSUB", "NUMSUB", "vp:membership_updates")).toMatch(/\s1$/);
  });

  it("delivers user, event, channels and action, and counts malformed messages", async () => {
    const redis = await startRedis();
    teardowns.push(() => redis.stop());
    const seen: unknown[][] = [];
    const sync = new PermissionSyncManager((...args) => seen.push(args.slice(0, 4)), { redisUrl: redis.url, logger });
    teardowns.push(() => sync.stop());
    await sync.start();
    await waitFor(() => sync.isConnected());
    await redis.cli("PUBLISH", "vp:membership_updates", "{");
    await redis.cli("PUBLISH", "vp:membership_updates", '{"eventId":1,"userId":"u","channelIds":[2,"1"],"action":"x"}');
    await waitFor(() => seen.length === 1);
    expect(seen).toEqual([["u", "1", ["1", "2"], "x"]]);
    expect(sync.malformedCount).toBe(1);
  });
});

describe("a replica whose subscription was cut", () => {
  it("catches up with what was written meanwhile (pitfall 8, G3)", async () => {
    const redis = await startRedis();
    teardowns.push(() => redis.stop());
    const replica = await startSquelch({ redisUrl: redis.url });
    teardowns.push(() => replica.close());
    const writer = createRedisEngine({ url: redis.url, logger });
    await writer.start();
    teardowns.push(() => writer.close());
    const client = connect(replica.grpcAddress);
    teardowns.push(() => client.close());
    const eventId = randomUUID();
    const watch = watchOn(client, { eventIds: [eventId] });
    teardowns.push(() => watch.close());
    await watch.caughtUp();

    await redis.cli("CLIENT", "KILL", "TYPE", "pubsub");
    for (let user = 0; user < 50; user++) {
      const write = { eventId, userId: `u${user}`, channelIds: [`${eventId}-a`], action: "set", actor: "test" };
      await writer.setUserChannels({ ...write, onlyIfUnknown: false });
    }
    await waitFor(() => watch.picture.changes.length === 50, { timeoutMs: 10_000 });
    expect(watch.error).toBeUndefined();
    expect(watch.picture.snapshotReasons).toHaveLength(1);
  });
});
