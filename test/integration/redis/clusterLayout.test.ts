import { randomUUID } from "node:crypto";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createRedisEngine, type RedisEngine } from "../../../src/engine/redis/engine.js";
import { CHANNEL_MOVES } from "../../../src/engine/redis/keys.js";
import { createLogger } from "../../../src/lib/logger.js";
import { assign, future, press, readWholeLog, take, update } from "../../contract/fixtures.js";
import { type RedisServer, startRedis } from "../../support/redis/startRedis.js";
import { stopAll } from "../../support/stopAll.js";
import { waitFor } from "../../support/waitFor.js";

// Tests a single Redis in the layout of a Cluster: it takes the steps of a Cluster without its delays.
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

/** Writes as another program does. */
const giveAway = () => redis.cli("HSET", "channel:events", channelId, to);

/** Makes the state that a replica leaves if it ends after the first step of a move. */
async function crashWhileMoving() {
  await giveAway();
  await redis.cli("HSET", CHANNEL_MOVES, channelId, `token ${from}`);
}

/** Waits for the comparison that runs every 10 s. A reconnection starts it earlier. */
const compare = () => redis.cli("CLIENT", "KILL", "TYPE", "pubsub");

/** Asserts that the channel is only in its new event, and has no speaker under the old one. */
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
  ])("%s finishes a move that a crash has interrupted, before another user may speak (G4)", async (_, act) => {
    const { speaker } = await take(engine, channelId, "u");
    await crashWhileMoving();
    expect((await engine.getActiveSpeakers(from)).speakers).toEqual([speaker]);
    await act();
    expect((await engine.getActiveSpeakers(from)).speakers).toEqual([]);
    await expectMoved();
    expect(await redis.cli("EXISTS", CHANNEL_MOVES)).toBe("0");
  });

  it("a move continues one that a crash has interrupted (G4)", async () => {
    await take(engine, channelId, "u");
    await crashWhileMoving();
    const third = `third-${randomUUID()}`;
    expect(await engine.setChannelEvent(channelId, third, "admin", false)).toBe(to);
    expect((await engine.getActiveSpeakers(from)).speakers).toEqual([]);
    expect(await engine.listEventChannels(third)).toEqual([channelId]);
    expect(await engine.listEventChannels(to)).toEqual([]);
  });

  it("a foreign write to channel:events is adopted, and the speaker under the old event is cut (G4, G7)", async () => {
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

  it("a press on a channel that another program has moved goes to its new event", async () => {
    await giveAway();
    expect(await press(engine, channelId, "u")).toMatchObject({ granted: false, cause: "receiveOnly" });
    expect(await engine.listEventChannels(to)).toEqual([channelId]);
  });

  it("a pause includes channels that other programs have given to the event (G5)", async () => {
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

  it("if the owner of a channel was lost, the event that has the channel claims it again", async () => {
    await redis.cli("DEL", "channel:events");
    await compare();
    await waitFor(async () => (await engine.getChannelEvent(channelId)) === from, {
      timeoutMs: 12_000,
      message: "the comparison",
    });
    expect(await press(engine, channelId, "u")).toMatchObject({ granted: true });
  });

  it("concurrent moves in both directions leave the channel in one event, with one speaker (G4)", async () => {
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
