import { randomUUID } from "node:crypto";
import { status } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ChannelService } from "../../gen/squelch/v1/channel_service_pb.js";
import { PermissionService } from "../../gen/squelch/v1/permission_service_pb.js";
import type { GrpcClient } from "../../src/lib/grpcService.js";
import type { Replica } from "../../src/server/start.js";
import { type RedisServer, startRedis } from "../support/startRedis.js";
import { startSquelch } from "../support/startSquelch.js";
import { sync } from "../support/syncClient.js";
import { waitFor } from "../support/waitFor.js";
import { connect, watchOn } from "../support/watchClient.js";

let redis: RedisServer;
let replica: Replica;
let client: GrpcClient;
let eventId: string;

beforeEach(async () => {
  eventId = randomUUID();
  redis = await startRedis();
  replica = await startSquelch({ redisUrl: redis.url });
  client = connect(replica.grpcAddress);
});
afterEach(async () => {
  client?.close();
  await replica?.close();
  await redis?.stop();
});

const { watchPermissions: _, syncEventMembers: __, ...permissionCalls } = PermissionService.method;
const { watchChannels: ___, renewPtt: ____, ...channelCalls } = ChannelService.method;
const request = () => ({
  eventId,
  userId: "u1",
  channelId: `${eventId}-a`,
  pauseId: "p1",
  leaseId: 1n,
  channelIds: [],
  routerId: "r1",
  cursors: [{ eventId, epoch: "e" }],
});
const allCalls = Object.values({ ...permissionCalls, ...channelCalls });

async function assign() {
  const channelIds = [`${eventId}-a`];
  return client.unary(permissionCalls.setUserChannels, { eventId, userId: "u1", channelIds });
}

const readiness = async () => (await fetch(`http://${replica.httpAddress}/readyz`)).status;

describe("while Redis is away", () => {
  it.each([
    ["stopped", () => redis.kill("SIGKILL")],
    ["hung", () => redis.pause()],
  ])(
    "(%s) every call answers UNAVAILABLE within its deadline, never an empty success (pitfalls 2, 14, 18, G9)",
    async (_, lose) => {
      await assign();
      await lose();
      for (const method of allCalls) {
        const startedAt = performance.now();
        const call = client.unary(method as typeof permissionCalls.getUserPermissions, request(), {
          deadline: Date.now() + 1_000,
        });
        await expect(call, method.name).rejects.toMatchObject({ code: status.UNAVAILABLE });
        expect(performance.now() - startedAt, method.name).toBeLessThan(1_000);
      }
      const undated = client.unary(permissionCalls.getUserPermissions, { eventId, userId: "u1" });
      await expect(undated).rejects.toMatchObject({ code: status.UNAVAILABLE });
      redis.resume();
    },
  );

  it.each([
    ["stopped", () => redis.kill("SIGKILL")],
    ["hung", () => redis.pause()],
  ])("(%s) a sync answers UNAVAILABLE, and a repeat is safe (G9)", async (how, lose) => {
    await assign();
    const members = { eventId, users: [{ userId: "u2", channelIds: [`${eventId}-a`] }] };
    await lose();
    await expect(sync(client, members)).rejects.toMatchObject({ code: status.UNAVAILABLE });
    redis.resume();
    if (how === "stopped") await redis.restart();
    await waitFor(() => sync(client, members).catch(() => undefined), { timeoutMs: 15_000 });
    expect(await sync(client, members)).toMatchObject({ changedUsers: 0, revokedUsers: 0 });
    const after = await client.unary(permissionCalls.getUserPermissions, { eventId, userId: "u2" });
    expect(after.channelIds).toEqual([`${eventId}-a`]);
  });

  it("a watcher is told so, a new watch of a loaded event is served, another one is not, and all recovers", async () => {
    const watch = watchOn(client, { eventIds: [eventId], checkpointInterval: { seconds: 1n } });
    await watch.caughtUp();
    await assign();
    await waitFor(() => watch.picture.changes.length === 1);
    expect(watch.picture.checkpoints.at(-1)).toMatchObject({ feedHealthy: true });
    expect(await readiness()).toBe(200);

    await redis.kill("SIGKILL");
    await waitFor(() => watch.picture.checkpoints.at(-1)?.feedHealthy === false);
    expect(await readiness()).toBe(503);
    const loaded = watchOn(client, { eventIds: [eventId] });
    await loaded.caughtUp();
    expect(loaded.picture.checkpoints.at(-1)).toMatchObject({ feedHealthy: false });
    expect(loaded.picture.channelsOf(eventId, "u1")).toEqual([`${eventId}-a`]);
    const other = watchOn(client, { eventIds: [randomUUID()] });
    expect(await other.ended()).toMatchObject({ code: status.UNAVAILABLE });

    await redis.restart();
    await waitFor(() => watch.picture.checkpoints.at(-1)?.feedHealthy, { timeoutMs: 15_000 });
    await waitFor(async () => (await readiness()) === 200);
    await assign();
    await waitFor(() => watch.picture.channelsOf(eventId, "u1")?.length === 1);
    const channelIds = [`${eventId}-a`, `${eventId}-b`];
    await redis.cli("PUBLISH", "vp:membership_updates", JSON.stringify({ eventId, userId: "u1", channelIds }));
    await waitFor(() => watch.picture.channelsOf(eventId, "u1")?.length === 2);
    expect(watch.error).toBeUndefined();
    watch.close();
    loaded.close();
  });

  it("a watcher of a hung Redis is told so, and of its recovery", async () => {
    const watch = watchOn(client, { eventIds: [eventId], checkpointInterval: { seconds: 1n } });
    await watch.caughtUp();
    redis.pause();
    await waitFor(() => watch.picture.checkpoints.at(-1)?.feedHealthy === false, { timeoutMs: 10_000 });
    redis.resume();
    await waitFor(() => watch.picture.checkpoints.at(-1)?.feedHealthy, { timeoutMs: 15_000 });
    await assign();
    await waitFor(() => watch.picture.channelsOf(eventId, "u1")?.length === 1);
    watch.close();
  }, 40_000);
});
