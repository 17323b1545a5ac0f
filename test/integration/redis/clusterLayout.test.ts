import { randomUUID } from "node:crypto";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createRedisEngine, type RedisEngine } from "../../../src/engine/redis/engine.js";
import { CHANNEL_MOVES } from "../../../src/engine/redis/keys.js";
import { createLogger } from "../../../src/lib/logger.js";
import { assign, future, press, readWholeLog, take, update } from "../../contract/fixtures.js";
import { type RedisServer, startRedis } from "../../support/redis/startRedis.js";
import { stopAll } from "../../support/stopAll.js";
import { waitFor } from "../../support/waitFor.js";

// A single Redis in the layout of a Cluster: the same steps, and nothing to wait for.
let redis: RedisServer;
let engine: RedisEngine;
let from: string;
let to: string;
let channelId: string;

beforeEach(async () => {
  redis = await startRedis();
  engine = createRedisEngine({ url: redis.url, layout: "cluster", logger: createLogger("test", "silent") });
  await engine.start();
  await waitFor(() => engine.feedHealth().healthy, { message: "a healthy feed" });
  [from, to, channelId] = [`from-${randomUUID()}`, `to-${randomUUID()}`, `channel-${randomUUID()}`];
  await assign(engine, from, "u", [channelId]);
  await assign(engine, to, "u", []);
});
afterEach(async () => {
  await engine?.close();
  await stopAll([redis]);
});

/** What a foreign writer does. */
const giveAway = () => redis.cli("HSET", "channel:events", channelId, to);

/** What a replica leaves behind that ends after the first step of a move. */
async function crashWhileMoving() {
  await giveAway();
  await redis.cli("HSET", CHANNEL_MOVES, channelId, `token ${from}`);
}

/** The comparison every 10 s, which a reconnection brings forward. */
const compare = () => redis.cli("CLIENT", "KILL", "TYPE", "pubsub");

/** The channel is in its new event alone, and nobody speaks on it under the old one. */
async function expectMoved() {
  expect(await engine.getChannelEvent(channelId)).toBe(to);
  expect(await engine.listEventChannels(from)).toEqual([]);
  expect(await engine.listEventChannels(to)).toEqual([channelId]);
  expect((await engine.getActiveSpeakers(from)).speakers).toEqual([]);
  expect(await assign(engine, to, "u", [channelId])).toMatchObject({ superseded: false });
  expect(await press(engine, channelId, "u")).toMatchObject({ granted: true });
  await expect(assign(engine, from, "u2", [channelId])).rejects.toMatchObject({ code: "failedPrecondition" });
}

describe("in the layout of a Cluster", () => {
  it.each<[string, () => Promise<unknown>]>([
    ["SetChannelEvent, repeated,", () => engine.setChannelEvent(channelId, to, "admin", false)],
    ["a press on the channel", () => press(engine, channelId, "u")],
    ["an assignment that names the channel", () => assign(engine, to, "u", [channelId])],
    ["an update that names the channel", () => engine.applyMemberships(to, [update("u", [channelId], future(1))])],
  ])("%s finishes a move that a crash has cut short, before anybody else may speak (G4)", async (_, act) => {
    const { speaker } = await take(engine, channelId, "u");
    await crashWhileMoving();
    expect((await engine.getActiveSpeakers(from)).speakers).toEqual([speaker]);
    await act();
    expect((await engine.getActiveSpeakers(from)).speakers).toEqual([]);
    await expectMoved();
    expect(await redis.cli("EXISTS", CHANNEL_MOVES)).toBe("0");
  });

  it("a move goes on from one that a crash has cut short (G4)", async () => {
    await take(engine, channelId, "u");
    await crashWhileMoving();
    const third = `third-${randomUUID()}`;
    expect(await engine.setChannelEvent(channelId, third, "admin", false)).toBe(to);
    expect((await engine.getActiveSpeakers(from)).speakers).toEqual([]);
    expect(await engine.listEventChannels(third)).toEqual([channelId]);
    expect(await engine.listEventChannels(to)).toEqual([]);
  });

  it("what others write into channel:events is taken over, and the speaker under the old event is cut (G4, G7)", async () => {
    const { speaker } = await take(engine, channelId, "u");
    await giveAway();
    await compare();
    const isTakenOver = async () => {
      const [left, taken] = await Promise.all([engine.listEventChannels(from), engine.listEventChannels(to)]);
      return left.length === 0 && taken.length === 1;
    };
    await waitFor(isTakenOver, { timeoutMs: 12_000, message: "the comparison" });
    expect((await readWholeLog(engine, from)).at(-1)).toMatchObject({
      kind: "floorRevoked",
      channelId,
      userId: speaker.userId,
    });
    await expectMoved();
  });

  it("a press on a channel that others have given away asks its new event", async () => {
    await giveAway();
    expect(await press(engine, channelId, "u")).toMatchObject({ granted: false, cause: "receiveOnly" });
    expect(await engine.listEventChannels(to)).toEqual([channelId]);
  });

  it("a pause takes what others have given to the event (G5)", async () => {
    await giveAway();
    const request = {
      eventId: to,
      reason: "fire",
      actor: "admin",
      durationMs: 60_000,
      exemptUserIds: [],
      requestId: "",
    };
    await engine.pauseAllSpeakers(request);
    expect(await press(engine, channelId, "u")).toMatchObject({ granted: false, cause: "retryAfter" });
  });

  it("a channel whose owner was lost is claimed again by the event that has it", async () => {
    await redis.cli("DEL", "channel:events");
    await compare();
    await waitFor(async () => (await engine.getChannelEvent(channelId)) === from, {
      timeoutMs: 12_000,
      message: "the comparison",
    });
    expect(await press(engine, channelId, "u")).toMatchObject({ granted: true });
  });

  it("moves at once, there and back, leave the channel in one event, where one may speak (G4)", async () => {
    const eventIds = [from, to, `third-${randomUUID()}`];
    await Promise.all(
      Array.from({ length: 30 }, (_, index) =>
        engine.setChannelEvent(channelId, eventIds[index % eventIds.length] as string, "admin", false),
      ),
    );
    const owner = await engine.getChannelEvent(channelId);
    for (const eventId of eventIds) {
      expect(await engine.listEventChannels(eventId)).toEqual(eventId === owner ? [channelId] : []);
    }
  });
});
