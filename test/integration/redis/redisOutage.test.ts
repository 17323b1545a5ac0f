import { randomUUID } from "node:crypto";
import { Metadata, status } from "@grpc/grpc-js";
import { describe, expect, it, type TestContext } from "vitest";
import { methods } from "../../support/clients/methods.js";
import { sync } from "../../support/clients/syncClient.js";
import { connect, watchOn } from "../../support/clients/watchClient.js";
import { type RedisServer, startRedis } from "../../support/redis/startRedis.js";
import { startSquelch } from "../../support/startSquelch.js";
import { waitFor } from "../../support/waitFor.js";

/** A replica on a Redis of its own. */
async function open(onTestFinished: TestContext["onTestFinished"]) {
  const redis = await startRedis();
  onTestFinished(() => redis.stop());
  const replica = await startSquelch({ redisUrl: redis.url });
  onTestFinished(() => replica.close());
  const client = connect(replica.grpcAddress);
  onTestFinished(() => client.close());
  const eventId = randomUUID();
  const assign = () => client.unary(methods.setUserChannels, { eventId, userId: "u1", channelIds: [`${eventId}-a`] });
  const readiness = async () => (await fetch(`http://${replica.httpAddress}/readyz`)).status;
  return { redis, client, eventId, assign, readiness };
}

const { watchPermissions: _, syncEventMembers: __, watchChannels: ___, renewPtt: ____, ...unaryMethods } = methods;
const requestFor = (eventId: string) => ({
  eventId,
  userId: "u1",
  channelId: `${eventId}-a`,
  pauseId: "p1",
  leaseId: 1n,
  channelIds: [],
  routerId: "r1",
  cursors: [{ eventId, epoch: "e" }],
});
const allCalls = Object.values(unaryMethods);

const LOSSES: [string, (redis: RedisServer) => unknown][] = [
  ["stopped", (redis) => redis.kill("SIGKILL")],
  ["hung", (redis) => redis.pause()],
];

describe.concurrent("while Redis is away", () => {
  it.for(LOSSES)(
    "(%s) every call answers UNAVAILABLE within its deadline, never an empty success (pitfalls 2, 14, 18, G9)",
    async ([_, lose], { onTestFinished }) => {
      const { redis, client, eventId, assign } = await open(onTestFinished);
      await assign();
      await lose(redis);
      // Only the replica gets this deadline: on a busy machine, the client's own timer may expire before it reads the answer.
      const deadline = new Metadata();
      deadline.set("grpc-timeout", "1000m");
      await Promise.all(
        allCalls.map(async (method) => {
          const call = client.unary(method as typeof methods.getUserPermissions, requestFor(eventId), {
            metadata: deadline,
          });
          await expect(call, method.name).rejects.toMatchObject({ code: status.UNAVAILABLE });
        }),
      );
      const undated = client.unary(methods.getUserPermissions, { eventId, userId: "u1" });
      await expect(undated).rejects.toMatchObject({ code: status.UNAVAILABLE });
      redis.resume();
    },
  );

  it.for(LOSSES)(
    "(%s) a sync answers UNAVAILABLE, and a repeat is safe (G9)",
    async ([how, lose], { onTestFinished }) => {
      const { redis, client, eventId, assign } = await open(onTestFinished);
      await assign();
      const members = { eventId, users: [{ userId: "u2", channelIds: [`${eventId}-a`] }] };
      await lose(redis);
      await expect(sync(client, members)).rejects.toMatchObject({ code: status.UNAVAILABLE });
      redis.resume();
      if (how === "stopped") await redis.restart();
      await waitFor(() => sync(client, members).catch(() => undefined), { timeoutMs: 15_000 });
      expect(await sync(client, members)).toMatchObject({ changedUsers: 0, revokedUsers: 0 });
      const after = await client.unary(methods.getUserPermissions, { eventId, userId: "u2" });
      expect(after.channelIds).toEqual([`${eventId}-a`]);
    },
  );

  it("a watcher gets unhealthy checkpoints, a new watch of a loaded event is served, another one is not, and all recover", async ({
    onTestFinished,
  }) => {
    const { redis, client, eventId, assign, readiness } = await open(onTestFinished);
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

  it("a watcher is notified of a hung Redis, and of its recovery", async ({ onTestFinished }) => {
    const { redis, client, eventId, assign } = await open(onTestFinished);
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
