import { pino } from "pino";
import { expect, test } from "vitest";
import type { LogEntry } from "../../../src/domain/change.js";
import { DEFAULT_EVENT_LIMITS } from "../../../src/domain/eventLimits.js";
import type { PublishedSpeaker } from "../../../src/domain/ports/floorStore.js";
import { createMemoryEngine } from "../../../src/engine/memory/engine.js";
import { EventLog } from "../../../src/engine/memory/eventLog.js";
import { openEvent } from "../../../src/engine/memory/floor.js";
import { createMembershipStore } from "../../../src/engine/memory/membershipStore.js";
import { MemoryState } from "../../../src/engine/memory/state.js";
import { createLogger } from "../../../src/lib/logger.js";
import {
  assign,
  collect,
  expectFailure,
  freshId,
  makeEvent,
  past,
  pause,
  press,
  readWholeLog,
  take,
  update,
} from "../../contract/fixtures.js";

/** The lease of a press, ms. */
const LEASE_MS = 30_000;

const logger = createLogger("test", "silent");

/** An engine with a clock that moves only when a test moves it. */
function makeEngine() {
  let nowMs = Date.parse("2026-01-01T00:00:00Z");
  const engine = createMemoryEngine({ now: () => nowMs, logger });
  return {
    engine,
    now: () => nowMs,
    turn: (ms: number) => {
      nowMs += ms;
    },
  };
}

const broadcaster = { userId: "dispatcher", userName: "The dispatcher" };

test("G4: a lease holds until its last millisecond and not longer", async () => {
  const { engine, turn } = makeEngine();
  const { eventId, channelId } = await makeEvent(engine, ["u", "v"]);
  const expired = await take(engine, channelId, "u");
  turn(LEASE_MS - 1);
  expect(await press(engine, channelId, "v")).toMatchObject({ granted: false, holder: expired.speaker });

  turn(1);
  expect(await engine.getChannelState(channelId)).toEqual({ eventId });
  expect(await engine.getActiveSpeakers(eventId)).toEqual({ speakers: [] });
  await expectFailure(engine.stopPtt(channelId, { leaseId: expired.leaseId }), "failedPrecondition");
  await expectFailure(engine.stopPtt(channelId, { userId: "u", sessionId: "" }), "failedPrecondition");

  const next = await take(engine, channelId, "v");
  expect(next.leaseId).toBeGreaterThan(expired.leaseId);
  await expectFailure(engine.stopPtt(channelId, { leaseId: expired.leaseId }), "failedPrecondition");
  expect((await engine.getChannelState(channelId)).holder).toEqual(next.speaker);
});

test("the session of an expired lease is given a new one", async () => {
  const { engine, turn, now } = makeEngine();
  const { channelId } = await makeEvent(engine, ["u"]);
  const expired = await take(engine, channelId, "u", { sessionId: "radio" });
  turn(LEASE_MS);
  const next = await take(engine, channelId, "u", { sessionId: "radio" });
  expect(next.leaseId).toBeGreaterThan(expired.leaseId);
  expect(next.speaker.startedAtMs).toBe(now());
});

test("an expired lease is not listed as cut, by a pause or by a move", async () => {
  const { engine, turn } = makeEngine();
  const { eventId, channelIds } = await makeEvent(engine, ["u"], 2);
  for (const channelId of channelIds) await take(engine, channelId, "u");
  turn(LEASE_MS);
  await engine.setChannelEvent(channelIds[0] as string, freshId("event"), "test", false);
  // The ends of both leases are announced first.
  expect(await pause(engine, eventId)).toMatchObject({ cut: [], revision: 4 });
});

test("lease ids and tickets rise within a millisecond and when the clock goes back", async () => {
  const { engine, turn } = makeEngine();
  const { eventId, channelId } = await makeEvent(engine, ["u"]);
  const leaseIds: number[] = [];
  for (const step of [0, 0, -60_000, 60_001]) {
    turn(step);
    const { leaseId } = await take(engine, channelId, "u");
    leaseIds.push(leaseId);
    await engine.stopPtt(channelId, { leaseId });
    expect(await assign(engine, eventId, "v", [`${step}-${leaseId}`])).toMatchObject({ superseded: false });
  }
  expect(leaseIds).toEqual([...new Set(leaseIds)].sort((a, b) => a - b));
});

test("G5: a pause stands until its last millisecond, and its end is announced once (pitfall 33)", async () => {
  const { engine, turn } = makeEngine();
  const { eventId, channelId } = await makeEvent(engine, ["u"]);
  const { pause: paused } = await pause(engine, eventId, { durationMs: 1_000, broadcaster });
  const speakers = collect<PublishedSpeaker | undefined>();
  await engine.followChannel(channelId, speakers.listener);
  turn(999);
  await engine.upholdPause(eventId);
  expect(await press(engine, channelId, "u")).toMatchObject({ granted: false, cause: "retryAfter" });
  expect(await readWholeLog(engine, eventId)).toHaveLength(2);

  turn(1);
  expect(await engine.getActiveSpeakers(eventId)).toEqual({ speakers: [] });
  await engine.upholdPause(eventId);
  await engine.upholdPause(eventId);
  await speakers.until(1);
  expect(speakers.seen).toEqual([undefined]);
  expect((await readWholeLog(engine, eventId)).slice(2)).toEqual([
    expect.objectContaining({ kind: "speakersResumed", pauseId: paused.pauseId, expired: true, actor: "" }),
  ]);
});

test("the floor of an exempt holder goes to the broadcaster when the lease expires", async () => {
  const { engine, turn } = makeEngine();
  const { eventId, channelId } = await makeEvent(engine, ["chief"]);
  await take(engine, channelId, "chief");
  await pause(engine, eventId, { broadcaster, exemptUserIds: ["chief"] });
  turn(LEASE_MS);
  await engine.upholdPause(eventId);
  expect((await engine.getChannelState(channelId)).holder).toMatchObject(broadcaster);
});

test("the request id of a pause is kept for an hour", async () => {
  const { engine, turn } = makeEngine();
  const { eventId } = await makeEvent(engine, ["u"]);
  const request = { requestId: "r", durationMs: 1_000 };
  const first = await pause(engine, eventId, request);
  turn(3_599_999);
  expect(await pause(engine, eventId, request)).toEqual(first);
  turn(1);
  const next = await pause(engine, eventId, request);
  expect(next.pause.pauseId).not.toBe(first.pause.pauseId);
});

test("G2: listeners are called after the write, in the order of revisions", async () => {
  const { engine } = makeEngine();
  const { eventId, channelId } = await makeEvent(engine, []);
  const followed = collect<LogEntry>();
  await engine.follow(eventId, followed.listener);
  const users = Array.from({ length: 10 }, (_, i) => update(`u${i}`, [channelId], past(1)));
  const written = engine.applyMemberships(eventId, users);
  expect(followed.seen).toEqual([]);

  await written;
  await followed.until(10);
  expect(followed.seen.map((entry) => entry.revision)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
});

test("a listener that unsubscribes before its call is not called", async () => {
  const { engine } = makeEngine();
  const eventId = freshId("event");
  const followed = collect<LogEntry>();
  const unfollow = await engine.follow(eventId, followed.listener);
  const written = assign(engine, eventId, "u", [freshId("channel")]);
  unfollow();
  await written;
  await new Promise(setImmediate);
  expect(followed.seen).toEqual([]);
});

test("a listener that throws is logged", async () => {
  const lines: string[] = [];
  const engine = createMemoryEngine({ logger: pino({}, { write: (line: string) => void lines.push(line) }) });
  const eventId = freshId("event");
  const followed = collect<LogEntry>();
  await engine.follow(eventId, () => {
    throw new Error("a defect of the listener");
  });
  await engine.follow(eventId, followed.listener);
  await assign(engine, eventId, "u", []);
  await assign(engine, eventId, "u", [freshId("channel")]);

  await followed.until(1);
  expect(lines.map((line) => JSON.parse(line))).toEqual([
    expect.objectContaining({
      msg: "a listener failed",
      key: eventId,
      err: expect.objectContaining({ message: "a defect of the listener" }),
    }),
  ]);
});

test("after close no listener is called", async () => {
  const { engine } = makeEngine();
  const followed = collect<unknown>();
  const eventId = freshId("event");
  await engine.follow(eventId, followed.listener);
  await engine.followEvents(followed.listener);
  const { channelId } = await makeEvent(engine, ["u"]);
  await engine.followChannel(channelId, followed.listener);
  await engine.close();
  await engine.close();
  const before = followed.seen.length;
  await assign(engine, eventId, "u", [freshId("channel")]);
  await take(engine, channelId, "u");
  await new Promise(setImmediate);
  expect(followed.seen).toHaveLength(before);
});

test("the feed of one process is always healthy", () => {
  expect(makeEngine().engine.feedHealth()).toEqual({ healthy: true, ageMs: 0 });
});

test("changes of a result or an argument by a caller do not reach the store", async () => {
  const { engine } = makeEngine();
  const { eventId, channelId } = await makeEvent(engine, []);
  const channelIds = [channelId];
  await engine.applyMemberships(eventId, [update("u", channelIds, past(1))]);
  channelIds.push("another");
  (await engine.loadEvent(eventId)).members[0]?.channelIds.push("another");
  (await engine.readUserPermissions(eventId, "u")).channelIds.push("another");
  expect((await engine.readUserPermissions(eventId, "u")).channelIds).toEqual([channelId]);
});

test("G6: nothing at or below the event-wide position is applied", async () => {
  const state = new MemoryState(Date.now, logger, DEFAULT_EVENT_LIMITS);
  const memberships = createMembershipStore(state);
  openEvent(state, "e").positionFloor = past(0, 5);
  const outcomes = await memberships.applyMemberships("e", [
    update("u", ["a"], past(9, 4)),
    update("u", ["a"], past(0, 5)),
    update("u", ["a"], past(1, 5)),
  ]);
  expect(outcomes.map((outcome) => outcome.status)).toEqual(["stale", "stale", "changed"]);
});

test("the log keeps exactly the configured number of its newest entries", () => {
  const kept = 100;
  const log = new EventLog(kept);
  const length = kept + 5;
  for (let i = 0; i < length; i++) log.append(0, "", { kind: "userDisconnected", userId: "u", reason: "" });
  const read = (revision: number, limit: number) =>
    log.read({ epoch: log.epoch, revision }, limit)?.map((entry) => entry.revision);

  expect(read(4, 10)).toBeUndefined();
  expect(read(5, 3)).toEqual([6, 7, 8]);
  expect(read(5, length)).toHaveLength(kept);
  expect(read(length - 1, 10)).toEqual([length]);
  expect(read(length, 10)).toEqual([]);
  expect(read(length + 1, 10)).toBeUndefined();
});
