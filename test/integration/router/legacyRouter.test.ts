import { randomUUID } from "node:crypto";
import { status } from "@grpc/grpc-js";
import { Redis } from "ioredis";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { ChannelService } from "../../../gen/squelch/v1/channel_service_pb.js";
import { FloorDenyCause, FloorPriority, FloorRevokeCause } from "../../../gen/squelch/v1/model_pb.js";
import { PermissionService } from "../../../gen/squelch/v1/permission_service_pb.js";
import type { GrpcClient } from "../../../src/lib/grpcService.js";
import type { Replica } from "../../../src/server/start.js";
import { connect, watchOn } from "../../support/clients/watchClient.js";
import { type RedisServer, startRedis } from "../../support/redis/startRedis.js";
import { startSquelch } from "../../support/startSquelch.js";
import { waitFor } from "../../support/waitFor.js";

// A router that does not use Squelch: it takes a floor with SET NX EX and releases it with DEL.
let redis: RedisServer;
let legacy: Redis;
let replica: Replica;
let client: GrpcClient;
let eventId: string;
let channelId: string;

beforeAll(async () => {
  redis = await startRedis();
  legacy = new Redis(redis.url);
  replica = await startSquelch({ redisUrl: redis.url });
  client = connect(replica.grpcAddress);
});
beforeEach(async () => {
  eventId = randomUUID();
  channelId = `${eventId}-a`;
  await client.unary(permissions.setUserChannels, { eventId, userId: "anna", channelIds: [channelId] });
});
afterAll(async () => {
  client?.close();
  legacy?.disconnect();
  await replica?.close();
  await redis?.stop();
});

const { watchPermissions: _, ...permissions } = PermissionService.method;
const channels = ChannelService.method;
const key = () => `channel:${channelId}:speaker`;
const take = (userId: string, of = key()) =>
  legacy.set(of, JSON.stringify({ userId, userName: userId, timestamp: Date.now() }), "EX", 30, "NX");
const speakers = async () => (await client.unary(permissions.getEventActiveSpeakers, { eventId })).speakers;

describe("beside a router that writes Redis itself", () => {
  it("its lock is respected and shown, and only its user can release it", async () => {
    expect(await take("ben")).toBe("OK");
    const press = await client.unary(channels.startPtt, { channelId, userId: "anna" });
    expect(press.outcome).toMatchObject({
      case: "denied",
      value: { cause: FloorDenyCause.ANOTHER_HAS_PERMISSION, holder: { userId: "ben" } },
    });
    const [speaker] = await speakers();
    expect(speaker).toMatchObject({ channelId, userId: "ben" });
    const remaining = Number(speaker?.expiresAt?.seconds) - Date.now() / 1_000;
    expect(remaining).toBeGreaterThan(25);
    expect(remaining).toBeLessThanOrEqual(30.5);
    await client.unary(channels.stopPtt, { channelId, userId: "ben" });
    expect(await legacy.exists(key())).toBe(0);
  });

  it("its lock has normal priority: a higher one takes the floor, and this is published", async () => {
    const watch = watchOn(client, { eventIds: [eventId] });
    await watch.caughtUp();
    await take("ben");
    const request = { channelId, userId: "anna", priority: FloorPriority.DISPATCH };
    expect((await client.unary(channels.startPtt, request)).outcome.case).toBe("granted");
    expect(await take("ben")).toBeNull();
    await waitFor(() => watch.picture.changes.length === 1);
    expect(watch.picture.changes[0]?.kind).toMatchObject({
      case: "floorRevoked",
      value: { channelId, userId: "ben", cause: FloorRevokeCause.PRE_EMPTED, byUserId: "anna" },
    });
    watch.close();
  });

  it("the end of a lease that it deletes is published before anything else on the channel", async () => {
    const watch = watchOn(client, { eventIds: [eventId] });
    await watch.caughtUp();
    const { outcome } = await client.unary(channels.startPtt, { channelId, userId: "anna" });
    const leaseId = outcome.case === "granted" ? outcome.value.leaseId : 0n;
    await legacy.del(key());
    expect(await take("ben")).toBe("OK");

    const renewal = client.unary(channels.renewPtt, { channelId, leaseId });
    await expect(renewal).rejects.toMatchObject({ code: status.FAILED_PRECONDITION });
    await client.unary(channels.stopPtt, { channelId, userId: "ben" });
    await client.unary(channels.startPtt, { channelId, userId: "anna" });
    const revoked = { channelId, userId: "anna", cause: FloorRevokeCause.OTHER, byUserId: "" };
    await client.unary(permissions.setUserChannels, { eventId, userId: "anna", channelIds: [] });
    await waitFor(() => watch.picture.changes.length >= 2);
    expect(watch.picture.changes.map(({ kind }) => kind)).toMatchObject([
      { case: "floorRevoked", value: revoked },
      { case: "membershipChanged" },
    ]);
    watch.close();
  });

  it("a Squelch lease keeps it out, in the form that it reads, and is announced as it expects", async () => {
    const subscriber = legacy.duplicate();
    const states: unknown[] = [];
    subscriber.on("message", (_channel, message) => states.push(JSON.parse(message)));
    await subscriber.subscribe(`channel:${channelId}:events`);
    const request = { channelId, userId: "anna", userName: "Anna" };
    const { outcome } = await client.unary(channels.startPtt, request);
    expect(await take("ben")).toBeNull();
    const value = JSON.parse((await legacy.get(key())) as string);
    expect(value).toMatchObject({ userId: "anna", userName: "Anna", timestamp: expect.any(Number) });
    const leaseId = outcome.case === "granted" ? outcome.value.leaseId : 0n;
    await client.unary(channels.stopPtt, { channelId, leaseId });
    await waitFor(() => states.length === 2);
    expect(states).toEqual([
      { channelId, currentSpeaker: "anna", speakerName: "Anna", isBusy: true, lockTimestamp: value.timestamp },
      { channelId, currentSpeaker: null, speakerName: null, isBusy: false, lockTimestamp: null },
    ]);
    subscriber.disconnect();
  });

  it("a pause cuts it, holds it back, and admits it again after the resume (pitfall 19, G5)", async () => {
    await take("ben");
    const paused = await client.unary(permissions.pauseAllSpeakers, { eventId, reason: "fire" });
    expect(paused.paused).toMatchObject([{ channelId, userId: "ben" }]);
    expect(await take("ben")).toBeNull();
    expect(await speakers()).toEqual([]);
    await client.unary(permissions.resumeSpeakers, { eventId, pauseId: paused.pause?.pauseId ?? "" });
    expect(await take("ben")).toBe("OK");
  });

  it("a speaker who gets past a pause is cut, and every client is notified (G5)", async () => {
    const watch = watchOn(client, { eventIds: [eventId] });
    await watch.caughtUp();
    await client.unary(permissions.pauseAllSpeakers, { eventId });
    await legacy.del(key());
    expect(await take("ben")).toBe("OK");
    await waitFor(async () => JSON.parse((await legacy.get(key())) ?? "{}").userId === "squelch:pause");
    expect(await take("ben")).toBeNull();
    await waitFor(() => watch.picture.changes.length === 2);
    expect(watch.picture.changes[1]?.kind).toMatchObject({
      case: "floorRevoked",
      value: { channelId, userId: "ben", cause: FloorRevokeCause.PRE_EMPTED },
    });
    watch.close();
  });

  it("a channel that only this router has added to the event is paused too (pitfall 17)", async () => {
    const foreign = `${eventId}-foreign`;
    await legacy.hset("channel:events", foreign, eventId);
    await take("ben", `channel:${foreign}:speaker`);
    const paused = await client.unary(permissions.pauseAllSpeakers, { eventId });
    expect(paused.paused).toMatchObject([{ channelId: foreign, userId: "ben" }]);
    const { channelIds } = await client.unary(channels.listEventChannels, { eventId });
    expect(channelIds).toEqual([channelId, foreign]);
  });

  it("if this router has replaced a channel by another, the new one is paused (pitfall 17)", async () => {
    const foreign = `${eventId}-foreign`;
    const other = randomUUID();
    await take("zoe");
    await legacy.hset("channel:events", foreign, eventId, channelId, other);
    await take("ben", `channel:${foreign}:speaker`);
    const paused = await client.unary(permissions.pauseAllSpeakers, { eventId });
    expect(paused.paused).toMatchObject([{ channelId: foreign, userId: "ben" }]);
    expect(await legacy.get(key())).toContain("zoe");
  });

  it("the end of an expired pause is announced once, and its channels are free", async () => {
    const watch = watchOn(client, { eventIds: [eventId] });
    await watch.caughtUp();
    await client.unary(permissions.pauseAllSpeakers, { eventId, duration: { seconds: 0n, nanos: 400_000_000 } });
    await waitFor(() => watch.picture.changes.length === 2);
    expect(watch.picture.changes[1]?.kind).toMatchObject({ case: "speakersResumed", value: { expired: true } });
    expect(await take("ben")).toBe("OK");
    await client.unary(permissions.setUserChannels, { eventId, userId: "anna", channelIds: [] });
    await waitFor(() => watch.picture.changes.length >= 3);
    expect(watch.picture.changes).toHaveLength(3);
    watch.close();
  });

  it("G7: a request that waits for a channel that this router moves to another event does not get the floor", async () => {
    const channelIds = [channelId];
    await client.unary(permissions.setUserChannels, { eventId, userId: "ben", channelIds });
    const watch = watchOn(client, { eventIds: [eventId] });
    await client.unary(channels.startPtt, { channelId, userId: "anna", leaseTime: { seconds: 1n } });
    const { outcome } = await client.unary(channels.startPtt, { channelId, userId: "ben", queueFor: { seconds: 10n } });
    expect(outcome.case).toBe("queued");
    await legacy.hset("channel:events", channelId, randomUUID());

    const ends = () =>
      watch.picture.changes.flatMap(({ kind }) =>
        kind.case === "floorRequestGranted" || kind.case === "floorRequestDenied" ? kind.case : [],
      );
    await waitFor(() => ends().length > 0, { message: "the wait to end" });
    expect(ends()).toEqual(["floorRequestDenied"]);
    expect(await legacy.exists(key())).toBe(0);
    watch.close();
  });

  it("G7: an event gives up a channel that this router moves to another event, paused or not", async () => {
    const spoken = `${eventId}-b`;
    await client.unary(permissions.setUserChannels, { eventId, userId: "zoe", channelIds: [channelId, spoken] });
    await client.unary(channels.startPtt, { channelId: spoken, userId: "zoe" });
    const paused = { eventId, broadcaster: { userId: "dora" }, exemptUserIds: ["zoe"] };
    const { revision } = await client.unary(permissions.pauseAllSpeakers, paused);
    const other = randomUUID();
    await legacy.hset("channel:events", channelId, other, spoken, other);
    await client.unary(permissions.setUserChannels, {
      eventId: other,
      userId: "anna",
      channelIds: [channelId, spoken],
    });
    // Before each pause and every 10 s, replicas compare the index of an event with the writes of other programs.
    await expect(client.unary(permissions.pauseAllSpeakers, { eventId })).rejects.toThrow("already paused");

    expect(await speakers()).toEqual([]);
    for (const moved of [channelId, spoken]) {
      expect(await client.unary(channels.startPtt, { channelId: moved, userId: "anna" })).toMatchObject({
        outcome: { case: "granted" },
      });
    }
    const entries = await legacy.xrange(`squelch:{${eventId}}:log`, `${revision + 1n}-0`, "+");
    const ends = entries.map(([, [, entry]]) => JSON.parse(entry ?? ""));
    expect(ends).toHaveLength(2);
    expect(ends).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ kind: "floorRevoked", channelId, userId: "dora", cause: "noPermission" }),
        expect.objectContaining({ kind: "floorRevoked", channelId: spoken, userId: "zoe", cause: "noPermission" }),
      ]),
    );
  });
});
