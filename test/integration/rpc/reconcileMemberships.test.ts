import { randomUUID } from "node:crypto";
import { status } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { GrpcClient } from "../../../src/lib/grpcService.js";
import type { Replica } from "../../../src/server/start.js";
import { methods } from "../../support/clients/methods.js";
import { sync } from "../../support/clients/syncClient.js";
import { connect } from "../../support/clients/watchClient.js";
import { type RedisServer, startRedis } from "../../support/redis/startRedis.js";
import { startSquelch } from "../../support/startSquelch.js";
import { waitFor } from "../../support/waitFor.js";

const { watchPermissions: _, ...calls } = methods;

let redis: RedisServer;
let replica: Replica;
let client: GrpcClient;
let eventId: string;
let channel: string;
let marker: string;

const key = (userId: string) => `u.${userId}.g`;
const publish = (userId: string, channelIds: string[]) =>
  redis.cli("PUBLISH", "vp:membership_updates", JSON.stringify({ eventId, userId, channelIds }));
const channelsOf = async (userId: string) =>
  (await client.unary(calls.getUserPermissions, { eventId, userId })).channelIds;
const reconcile = () => client.unary(calls.reconcileMemberships, {});

beforeAll(async () => {
  redis = await startRedis();
  replica = await startSquelch({ redisUrl: redis.url });
  client = connect(replica.grpcAddress);
  // This prevents a reconcile that no test has requested.
  await reconcile();
});
afterAll(async () => {
  client?.close();
  await replica?.close();
  await redis?.stop();
});

/** An event with two channels, and a user on the first. The user's key agrees with that. */
async function makeEvent(): Promise<string> {
  eventId = randomUUID();
  channel = `${eventId}-a`;
  marker = `${eventId}-b`;
  const userId = `user-${eventId}`;
  await redis.cli("SADD", key(userId), channel);
  await publish(`other-${eventId}`, [channel, marker]);
  await publish(userId, [channel]);
  await waitFor(async () => (await channelsOf(userId)).length === 1);
  return userId;
}
describe("ReconcileMemberships", () => {
  it("repairs updates that were published while no replica was subscribed, and reports what it changed", async () => {
    const userId = await makeEvent();
    await redis.cli("SADD", key(userId), marker);
    const before = Date.now();
    const first = await reconcile();
    expect(first).toMatchObject({ comparedUsers: 2, changedUsers: 1, ambiguousUsers: 1 });
    expect(Number(first.generation)).toBeGreaterThan(before - 10_000);
    expect(await channelsOf(userId)).toEqual([channel, marker]);
    const second = await reconcile();
    expect(second).toMatchObject({ comparedUsers: 2, changedUsers: 0, ambiguousUsers: 1 });
    expect(second.generation).toBeGreaterThan(first.generation);
  });

  it("answers many concurrent calls, each with a comparison that began after the call", async () => {
    const userId = await makeEvent();
    const early = reconcile();
    await redis.cli("SADD", key(userId), marker);
    const late = await Promise.all(Array.from({ length: 10 }, reconcile));
    expect(await channelsOf(userId)).toEqual([channel, marker]);
    expect(new Set([await early, ...late].map(({ generation }) => generation)).size).toBeLessThanOrEqual(3);
  });

  it("G6: does not undo a sync, for users that it named, did not change, or did not name", async () => {
    const userId = await makeEvent();
    const [stranger, named] = [`stranger-${eventId}`, `named-${eventId}`];
    const users = [{ userId, channelIds: [channel] }, { userId: named }];
    await sync(client, { eventId, users });
    // The keys are from before the sync.
    for (const user of [userId, stranger, named]) await redis.cli("SADD", key(user), channel, marker);
    expect(await reconcile()).toMatchObject({ changedUsers: 0 });
    expect(await channelsOf(userId)).toEqual([channel]);
    expect(await channelsOf(stranger)).toEqual([]);
    expect(await channelsOf(named)).toEqual([]);
  });

  it("G6: does not undo a write over RPC that changed nothing", async () => {
    const userId = await makeEvent();
    await client.unary(calls.setUserChannels, { eventId, userId, channelIds: [channel] });
    await redis.cli("SADD", key(userId), marker);
    expect(await reconcile()).toMatchObject({ changedUsers: 0 });
    expect(await channelsOf(userId)).toEqual([channel]);
  });

  it("is rejected if there is no control plane", async () => {
    const inMemory = await startSquelch();
    const other = connect(inMemory.grpcAddress);
    try {
      await expect(other.unary(calls.reconcileMemberships, {})).rejects.toMatchObject({
        code: status.FAILED_PRECONDITION,
        details: expect.stringContaining("nothing to compare"),
      });
    } finally {
      other.close();
      await inMemory.close();
    }
  });
});
