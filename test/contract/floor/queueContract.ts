import { expect, test } from "vitest";
import type { FloorRequestDenied, FloorRequestGranted } from "../../../src/domain/change.js";
import { CLAIM_TIME_MS, type FloorPriority } from "../../../src/domain/floor.js";
import type { Engine } from "../../../src/domain/ports/engine.js";
import type { FloorNews, PublishedSpeaker, StartPttRequest } from "../../../src/domain/ports/floorStore.js";
import { waitFor } from "../../support/waitFor.js";
import {
  assign,
  collect,
  expectFailure,
  freshId,
  freshIds,
  type GetEngine,
  makeEvent,
  pause,
  press,
  published,
  readWholeLog,
  take,
} from "../fixtures.js";
import { readRevocations } from "./leaseContract.js";

type RequestEnd = FloorRequestGranted | FloorRequestDenied;

/** Returns the ends of waiting requests in the log. */
async function readEnds(engine: Engine, eventId: string): Promise<RequestEnd[]> {
  const entries = await readWholeLog(engine, eventId);
  return entries.filter(
    (entry): entry is typeof entry & RequestEnd =>
      entry.kind === "floorRequestGranted" || entry.kind === "floorRequestDenied",
  );
}

type WaitOptions = Partial<StartPttRequest> & { waitMs?: number; limit?: number };

function pressToWait(engine: Engine, channelId: string, userId: string, options: WaitOptions = {}) {
  const { waitMs = 20_000, limit = 10, ...rest } = options;
  return press(engine, channelId, userId, { queue: { waitMs, limit }, ...rest });
}

/** Waits in the queue; fails if the floor is granted or denied. */
async function enqueue(engine: Engine, channelId: string, userId: string, options?: WaitOptions) {
  const outcome = await pressToWait(engine, channelId, userId, options);
  if (outcome.granted || outcome.place === undefined) throw new Error(`does not wait: ${JSON.stringify(outcome)}`);
  return outcome.place;
}

async function holderOf(engine: Engine, channelId: string) {
  return (await engine.getChannelState(channelId)).holder;
}

export function describeQueue(getEngine: GetEngine): void {
  test("only requests with queue_for wait", async () => {
    const engine = getEngine();
    const { eventId, channelId } = await makeEvent(engine, ["u", "v"]);
    const { leaseId } = await take(engine, channelId, "u");
    expect(await press(engine, channelId, "v")).toMatchObject({ granted: false, cause: "anotherHasPermission" });
    await engine.stopPtt(channelId, { leaseId });
    expect(await holderOf(engine, channelId)).toBeUndefined();
    expect(await readEnds(engine, eventId)).toEqual([]);
  });

  test("a request that may wait gets a free floor at once", async () => {
    const engine = getEngine();
    const { channelId } = await makeEvent(engine, ["u"]);
    const outcome = await pressToWait(engine, channelId, "u", { leaseTimeMs: 20_000 });
    expect(outcome).toMatchObject({ granted: true });
    if (outcome.granted) expect(outcome.speaker.expiresAtMs - outcome.speaker.startedAtMs).toBe(20_000);
  });

  test("the answer names the place, the time and the holder, and a repeat keeps the place", async () => {
    const engine = getEngine();
    const { eventId, channelId } = await makeEvent(engine, ["u", "v", "w"]);
    const { speaker } = await take(engine, channelId, "u");
    const outcome = await pressToWait(engine, channelId, "v", { waitMs: 5_000 });
    const first = { queueId: expect.any(Number), position: 1, waiting: 1, expiresAtMs: expect.any(Number) };
    expect(outcome).toEqual({ granted: false, eventId, place: first, holder: speaker });
    const v = await enqueue(engine, channelId, "v", { waitMs: 5_000 });
    expect(Math.abs(v.expiresAtMs - Date.now() - 5_000)).toBeLessThan(1_000);
    const w = await enqueue(engine, channelId, "w");
    expect(w).toMatchObject({ position: 2, waiting: 2 });
    expect(w.queueId).toBeGreaterThan(v.queueId);

    const again = await enqueue(engine, channelId, "v", { waitMs: 9_000 });
    expect(again).toMatchObject({ queueId: v.queueId, position: 1, waiting: 2 });
    expect(again.expiresAtMs - v.expiresAtMs).toBeGreaterThanOrEqual(4_000);
    expect((await engine.getActiveSpeakers(eventId)).waiting).toEqual([
      { channelId, userId: "v", userName: "v's name", position: 1, priority: "normal", expiresAtMs: again.expiresAtMs },
      { channelId, userId: "w", userName: "w's name", position: 2, priority: "normal", expiresAtMs: w.expiresAtMs },
    ]);
    expect(await holderOf(engine, channelId)).toEqual(speaker);
  });

  test("a higher priority is served before a lower one, an older request before a newer one", async () => {
    const engine = getEngine();
    const { eventId, channelId } = await makeEvent(engine, ["holder", "a", "b", "c", "d", "e"]);
    let { leaseId } = await take(engine, channelId, "holder", { priority: "emergency" });
    const asked: [string, FloorPriority, position: number][] = [
      ["a", "normal", 1],
      ["b", "dispatch", 1],
      ["c", "normal", 3],
      ["d", "imminentPeril", 1],
      ["e", "dispatch", 3],
    ];
    for (const [userId, priority, position] of asked) {
      expect(await enqueue(engine, channelId, userId, { priority })).toMatchObject({ position });
    }
    // A repeat may raise the priority, and does not lower it.
    expect(await enqueue(engine, channelId, "c", { priority: "dispatch" })).toMatchObject({ position: 3 });
    expect(await enqueue(engine, channelId, "c")).toMatchObject({ position: 3, waiting: 5 });

    const spoken: string[] = [];
    for (let left = asked.length; left > 0; left--) {
      await engine.stopPtt(channelId, { leaseId });
      const grant = (await readEnds(engine, eventId)).at(-1) as FloorRequestGranted;
      spoken.push(grant.userId);
      ({ leaseId } = grant);
    }
    expect(spoken).toEqual(["d", "b", "c", "e", "a"]);
    await engine.stopPtt(channelId, { leaseId });
    expect(await holderOf(engine, channelId)).toBeUndefined();
  });

  test("G4: a release grants the floor to the next request, without a moment without a speaker", async () => {
    const engine = getEngine();
    const { eventId, channelId } = await makeEvent(engine, ["u", "v", "w"]);
    const speakers = collect<PublishedSpeaker | undefined>();
    const unfollow = await engine.followChannel(channelId, speakers.listener);
    const news = collect<FloorNews>();
    const unfollowFloor = await engine.followFloor(eventId, news.listener);
    const u = await take(engine, channelId, "u");
    const place = await enqueue(engine, channelId, "v", { sessionId: "radio", leaseTimeMs: 9_000, priority: "normal" });
    await engine.stopPtt(channelId, { leaseId: u.leaseId });

    const holder = await holderOf(engine, channelId);
    const startedAtMs = holder?.startedAtMs ?? 0;
    const expiresAtMs = startedAtMs + CLAIM_TIME_MS;
    expect(holder).toEqual({
      channelId,
      userId: "v",
      userName: "v's name",
      startedAtMs,
      expiresAtMs,
      priority: "normal",
    });
    const [grant, ...more] = await readEnds(engine, eventId);
    expect(more).toEqual([]);
    expect(grant).toMatchObject({
      kind: "floorRequestGranted",
      channelId,
      userId: "v",
      userName: "v's name",
      sessionId: "radio",
      queueId: place.queueId,
      startedAtMs,
      expiresAtMs,
      talkUntilMs: startedAtMs + 30_000,
      priority: "normal",
    });
    const leaseId = (grant as FloorRequestGranted).leaseId;
    expect(leaseId).toBeGreaterThan(u.leaseId);
    await expectFailure(engine.renewPtt(channelId, u.leaseId), "failedPrecondition");
    // The first renewal. From then on the lease has the requested length.
    const renewedMs = await engine.renewPtt(channelId, leaseId);
    expect(renewedMs - startedAtMs).toBeGreaterThanOrEqual(9_000);
    expect(await press(engine, channelId, "v", { sessionId: "radio" })).toMatchObject({ granted: true, leaseId });
    await engine.stopPtt(channelId, { leaseId });
    await speakers.until(3);
    expect(speakers.seen.map(published)).toEqual([published(u.speaker), published(holder), undefined]);
    // The wait is published with the present holder.
    await news.until(4);
    expect(news.seen.flatMap(({ changes }) => changes.map((change) => change.holder?.userId))).toEqual([
      "u",
      "u",
      "v",
      undefined,
    ]);
    expect(news.seen[1]?.changes[0]?.lookAtMs).toBe(place.expiresAtMs);
    unfollow();
    unfollowFloor();
  });

  test.each<[string, (engine: Engine, eventId: string, channelId: string) => Promise<unknown>]>([
    ["a press of another user", (engine, _, channelId) => press(engine, channelId, "third")],
    ["endLeases", (engine, eventId) => engine.endLeases(eventId)],
    ["loadEvent", (engine, eventId) => engine.loadEvent(eventId)],
  ])(
    "G4: the floor of an expired lease goes to the next request, at the latest by %s (pitfall 10)",
    async (_, look) => {
      const engine = getEngine();
      const { eventId, channelId } = await makeEvent(engine, ["u", "v", "third"]);
      await take(engine, channelId, "u", { leaseTimeMs: 100 });
      await enqueue(engine, channelId, "v");
      await waitFor(async () => (await holderOf(engine, channelId)) === undefined, { message: "the lease to run out" });
      await look(engine, eventId, channelId);
      expect(await holderOf(engine, channelId)).toMatchObject({ userId: "v" });
      const lastEntries = (await readWholeLog(engine, eventId)).slice(-2);
      expect(lastEntries).toMatchObject([
        { kind: "floorRevoked", userId: "u" },
        { kind: "floorRequestGranted", userId: "v" },
      ]);
    },
  );

  test("a session that has left loses the floor soon, and the next one gets it", async () => {
    const engine = getEngine();
    const { eventId, channelId } = await makeEvent(engine, ["u", "gone", "v"]);
    const { leaseId } = await take(engine, channelId, "u");
    await enqueue(engine, channelId, "gone", { leaseTimeMs: 500 });
    await enqueue(engine, channelId, "v");
    await engine.stopPtt(channelId, { leaseId });
    expect(await holderOf(engine, channelId)).toMatchObject({ userId: "gone" });
    await waitFor(async () => {
      await engine.endLeases(eventId);
      return (await holderOf(engine, channelId))?.userId === "v";
    });
    expect(await readRevocations(engine, eventId)).toMatchObject([{ userId: "gone", cause: "other" }]);
  });

  test("taking the floor by priority does not change the queue", async () => {
    const engine = getEngine();
    const { eventId, channelId } = await makeEvent(engine, ["u", "v", "boss"]);
    await take(engine, channelId, "u");
    await enqueue(engine, channelId, "v");
    const boss = await take(engine, channelId, "boss", { priority: "dispatch" });
    expect((await engine.getActiveSpeakers(eventId)).waiting).toMatchObject([{ userId: "v", position: 1 }]);
    await engine.stopPtt(channelId, { leaseId: boss.leaseId });
    expect(await holderOf(engine, channelId)).toMatchObject({ userId: "v" });
  });

  test("a waiting user who presses with a higher priority than the holder's gets the floor and leaves the queue", async () => {
    const engine = getEngine();
    const { eventId, channelId } = await makeEvent(engine, ["u", "v"]);
    await take(engine, channelId, "u");
    await enqueue(engine, channelId, "v");
    const { leaseId } = await take(engine, channelId, "v", { priority: "emergency" });
    expect((await engine.getActiveSpeakers(eventId)).waiting).toBeUndefined();
    await engine.stopPtt(channelId, { leaseId });
    expect(await holderOf(engine, channelId)).toBeUndefined();
    expect(await readEnds(engine, eventId)).toEqual([]);
  });

  test("only the session that has a place can give it up (pitfalls 11, 13)", async () => {
    const engine = getEngine();
    const { eventId, channelId } = await makeEvent(engine, ["u", "v"]);
    const { leaseId } = await take(engine, channelId, "u");
    await enqueue(engine, channelId, "v", { sessionId: "radio" });
    await enqueue(engine, channelId, "v", { sessionId: "phone" });
    const ofOther = engine.stopPtt(channelId, { userId: "v", sessionId: "desk" });
    await expectFailure(ofOther, "failedPrecondition", "user_id:", channelId);
    await expectFailure(engine.stopPtt(channelId, { leaseId: leaseId + 1 }), "failedPrecondition", "lease_id:");
    expect((await engine.getActiveSpeakers(eventId)).waiting).toHaveLength(2);

    await engine.stopPtt(channelId, { userId: "v", sessionId: "radio" });
    expect(await holderOf(engine, channelId)).toMatchObject({ userId: "u" });
    await expectFailure(engine.stopPtt(channelId, { userId: "v", sessionId: "radio" }), "failedPrecondition");
    expect(await enqueue(engine, channelId, "v", { sessionId: "phone" })).toMatchObject({ position: 1, waiting: 1 });
    await engine.stopPtt(channelId, { leaseId });
    expect(await press(engine, channelId, "v", { sessionId: "phone" })).toMatchObject({ granted: true });
    // A session that was granted the floor meanwhile releases it.
    await engine.stopPtt(channelId, { userId: "v", sessionId: "phone" });
    expect(await holderOf(engine, channelId)).toBeUndefined();
  });

  test("a request without queue_for gives up the place", async () => {
    const engine = getEngine();
    const { eventId, channelId } = await makeEvent(engine, ["u", "v"]);
    await take(engine, channelId, "u");
    await enqueue(engine, channelId, "v");
    expect(await press(engine, channelId, "v")).toMatchObject({ cause: "anotherHasPermission" });
    expect((await engine.getActiveSpeakers(eventId)).waiting).toBeUndefined();
  });

  test("the end of a wait is published once, and the place is gone (pitfall 33)", async () => {
    const engine = getEngine();
    const { eventId, channelId } = await makeEvent(engine, ["u", "v", "w"]);
    const { leaseId } = await take(engine, channelId, "u");
    const { queueId } = await enqueue(engine, channelId, "v", { waitMs: 100, sessionId: "radio" });
    const w = await enqueue(engine, channelId, "w");
    const looks = await engine.endLeases(eventId, [channelId]);
    expect(Math.min(...looks.map(({ remainingMs }) => remainingMs))).toBeLessThanOrEqual(100);
    await waitFor(async () => (await engine.getActiveSpeakers(eventId)).waiting?.length === 1);
    await Promise.all([engine.endLeases(eventId), engine.endLeases(eventId, [channelId])]);
    const denied = { kind: "floorRequestDenied", channelId, userId: "v", sessionId: "radio", queueId };
    expect(await readEnds(engine, eventId)).toMatchObject([{ ...denied, cause: "anotherHasPermission" }]);
    // A late repeat is a new request, behind all earlier ones.
    const late = await enqueue(engine, channelId, "v", { sessionId: "radio" });
    expect(late).toMatchObject({ position: 2, waiting: 2 });
    expect(late.queueId).toBeGreaterThan(w.queueId);
    await engine.stopPtt(channelId, { leaseId });
    expect(await holderOf(engine, channelId)).toMatchObject({ userId: "w" });
  });

  test("a full queue denies a new request, unless the last one has a lower priority", async () => {
    const engine = getEngine();
    const { eventId, channelId } = await makeEvent(engine, ["holder", "a", "b", "c", "boss"]);
    const { speaker, leaseId } = await take(engine, channelId, "holder", { priority: "emergency" });
    await enqueue(engine, channelId, "a", { limit: 2 });
    const b = await enqueue(engine, channelId, "b", { limit: 2 });
    const full = { granted: false, cause: "queueFull", holder: speaker };
    expect(await pressToWait(engine, channelId, "c", { limit: 2 })).toMatchObject(full);
    expect(await enqueue(engine, channelId, "b", { limit: 2 })).toMatchObject({ position: 2, waiting: 2 });
    const boss = await enqueue(engine, channelId, "boss", { limit: 2, priority: "dispatch" });
    expect(boss).toMatchObject({ position: 1, waiting: 2 });
    expect(await readEnds(engine, eventId)).toMatchObject([
      { kind: "floorRequestDenied", userId: "b", queueId: b.queueId, cause: "queueFull" },
    ]);
    await engine.stopPtt(channelId, { leaseId });
    expect(await holderOf(engine, channelId)).toMatchObject({ userId: "boss" });
  });

  test("a waiting user who may no longer speak is skipped, and the log records it (pitfall 3)", async () => {
    const engine = getEngine();
    const { eventId, channelId } = await makeEvent(engine, ["u", "revoked", "v"]);
    const { leaseId } = await take(engine, channelId, "u");
    expect(await pressToWait(engine, channelId, "stranger")).toMatchObject({ cause: "receiveOnly" });
    const { queueId } = await enqueue(engine, channelId, "revoked");
    await enqueue(engine, channelId, "v");
    await assign(engine, eventId, "revoked", []);
    await engine.stopPtt(channelId, { leaseId });
    expect(await holderOf(engine, channelId)).toMatchObject({ userId: "v" });
    expect(await readEnds(engine, eventId)).toMatchObject([
      { kind: "floorRequestDenied", userId: "revoked", queueId, cause: "receiveOnly" },
      { kind: "floorRequestGranted", userId: "v" },
    ]);
  });

  test("a request that skips the membership check also skips it at its turn", async () => {
    const engine = getEngine();
    const { channelId } = await makeEvent(engine, ["u"]);
    const { leaseId } = await take(engine, channelId, "u");
    await enqueue(engine, channelId, "stranger", { ignoresMembership: true });
    await engine.stopPtt(channelId, { leaseId });
    expect(await holderOf(engine, channelId)).toMatchObject({ userId: "stranger" });
  });

  test("a disconnected user gives up floors and places, and the next requests get them", async () => {
    const engine = getEngine();
    const { eventId, channelIds } = await makeEvent(engine, ["u", "v", "w"], 2);
    const [a, b] = channelIds as [string, string];
    await take(engine, a, "u");
    await enqueue(engine, a, "v");
    const onB = await take(engine, b, "v");
    const { queueId } = await enqueue(engine, b, "u");
    await enqueue(engine, b, "w");
    await engine.disconnectUser({ eventId, userId: "u", reason: "", actor: "admin" });
    expect(await holderOf(engine, a)).toMatchObject({ userId: "v" });
    await engine.stopPtt(b, { leaseId: onB.leaseId });
    expect(await holderOf(engine, b)).toMatchObject({ userId: "w" });
    expect((await readWholeLog(engine, eventId)).slice(-5)).toMatchObject([
      { kind: "floorRequestDenied", channelId: b, userId: "u", queueId, cause: "receiveOnly" },
      { kind: "floorRevoked", channelId: a, userId: "u", cause: "noPermission" },
      { kind: "floorRequestGranted", channelId: a, userId: "v" },
      { kind: "userDisconnected", userId: "u" },
      { kind: "floorRequestGranted", channelId: b, userId: "w" },
    ]);
  });

  test("a ban that another program wrote makes the queue skip the user", async () => {
    const engine = getEngine();
    const { eventId, channelId } = await makeEvent(engine, ["u", "v"]);
    const userId = freshId("banned");
    await assign(engine, eventId, userId, [channelId]);
    const { leaseId } = await take(engine, channelId, "u");
    const { queueId } = await enqueue(engine, channelId, userId);
    // A ban that the event itself records removes the request at once.
    const elsewhere = engine.banScope === "fleet" ? freshId("event") : eventId;
    await engine.banUser({ eventId: elsewhere, userId, reason: "", actor: "admin", durationMs: undefined });
    await engine.stopPtt(channelId, { leaseId });
    expect(await holderOf(engine, channelId)).toBeUndefined();
    expect(await readEnds(engine, eventId)).toMatchObject([
      { kind: "floorRequestDenied", userId, queueId, cause: "receiveOnly" },
    ]);
    await engine.unbanUser(elsewhere, userId, "admin");
  });

  test("if no waiting user may speak any more, the floor is free", async () => {
    const engine = getEngine();
    const { eventId, channelId } = await makeEvent(engine, ["u", "revoked"]);
    const { leaseId } = await take(engine, channelId, "u");
    await enqueue(engine, channelId, "revoked");
    await assign(engine, eventId, "revoked", []);
    await engine.stopPtt(channelId, { leaseId });
    expect(await holderOf(engine, channelId)).toBeUndefined();
    expect(await engine.endLeases(eventId)).toEqual([]);
  });

  test.each([60_000, 0])(
    "G5: a pause of %s ms ends all waits; during the pause no request waits",
    async (durationMs) => {
      const engine = getEngine();
      const { eventId, channelIds } = await makeEvent(engine, ["u", "v", "chief"], 2);
      const [cut, spared] = channelIds as [string, string];
      await take(engine, cut, "u");
      await enqueue(engine, cut, "v");
      await take(engine, spared, "chief", { sessionId: "radio" });
      await enqueue(engine, spared, "chief", { sessionId: "phone" });
      const exemptUserIds = ["chief"];
      const { pause: paused } = await pause(engine, eventId, { durationMs, exemptUserIds });

      expect(await holderOf(engine, cut)).toBeUndefined();
      expect((await engine.getActiveSpeakers(eventId)).waiting).toBeUndefined();
      if (durationMs > 0) {
        expect(await pressToWait(engine, cut, "v")).toMatchObject({ cause: "retryAfter" });
        const phone = await pressToWait(engine, spared, "chief", { sessionId: "phone" });
        expect(phone).toMatchObject({ cause: "anotherHasPermission" });
        await engine.resumeSpeakers(eventId, paused.pauseId, "admin");
      }
      expect(await holderOf(engine, cut)).toBeUndefined();
      await engine.stopPtt(spared, { userId: "chief", sessionId: "radio" });
      expect(await holderOf(engine, spared)).toBeUndefined();
      // The entry of the pause announces it.
      expect(await readEnds(engine, eventId)).toEqual([]);
    },
  );

  test("a lease that expires unnoticed gives the floor to no waiting user when a pause begins (G5)", async () => {
    const engine = getEngine();
    const { eventId, channelId } = await makeEvent(engine, ["u", "v"]);
    await take(engine, channelId, "u", { leaseTimeMs: 50 });
    await enqueue(engine, channelId, "v");
    await waitFor(async () => (await holderOf(engine, channelId)) === undefined, { message: "the lease to run out" });
    await pause(engine, eventId);
    await engine.upholdPause(eventId);
    expect(await readEnds(engine, eventId)).toEqual([]);
    expect((await engine.getActiveSpeakers(eventId)).speakers).toEqual([]);
  });

  test("moving a channel ends the waits on it", async () => {
    const engine = getEngine();
    const { eventId, channelId } = await makeEvent(engine, ["u", "v"]);
    await take(engine, channelId, "u");
    const { queueId } = await enqueue(engine, channelId, "v");
    const other = freshId("event");
    await engine.setChannelEvent(channelId, other, "test", false);
    expect(await readEnds(engine, eventId)).toMatchObject([
      { kind: "floorRequestDenied", userId: "v", queueId, cause: "receiveOnly" },
    ]);
    expect(await holderOf(engine, channelId)).toBeUndefined();
    expect((await engine.getActiveSpeakers(other)).waiting).toBeUndefined();
  });

  test("G7: each channel has its own queue", async () => {
    const engine = getEngine();
    const { eventId, channelIds } = await makeEvent(engine, ["u", "v", "w"], 2);
    const [a, b] = channelIds as [string, string];
    const onA = await take(engine, a, "u");
    await take(engine, b, "u");
    await enqueue(engine, a, "v");
    await enqueue(engine, b, "w");
    await enqueue(engine, b, "v");
    await engine.stopPtt(a, { leaseId: onA.leaseId });
    expect(await holderOf(engine, a)).toMatchObject({ userId: "v" });
    const { waiting } = await engine.getActiveSpeakers(eventId);
    expect(waiting?.map((one) => [one.channelId, one.userId, one.position])).toEqual([
      [b, "w", 1],
      [b, "v", 2],
    ]);
  });

  test("G4: if many users wait and release at the same time, never two speak together, and each is served", async () => {
    const engine = getEngine();
    const users = freshIds("user", 24);
    const { eventId, channelId } = await makeEvent(engine, users);
    const sessions = users.map(async (userId) => {
      await pressToWait(engine, channelId, userId, { limit: 24 });
      await engine.stopPtt(channelId, { userId, sessionId: "" });
    });
    await Promise.all(sessions);
    expect(await holderOf(engine, channelId)).toBeUndefined();
    expect((await engine.getActiveSpeakers(eventId)).waiting).toBeUndefined();
    expect(await readRevocations(engine, eventId)).toEqual([]);
    const grants = (await readEnds(engine, eventId)).map(({ queueId }) => queueId);
    expect(grants).toEqual([...new Set(grants)].sort((a, b) => a - b));
  });

  test("a wait that its session shortens is checked at its new end (pitfall 33)", async () => {
    const engine = getEngine();
    const { eventId, channelId } = await makeEvent(engine, ["u", "v"]);
    await take(engine, channelId, "u");
    const news = collect<FloorNews>();
    // The message about the floor that was just taken may also arrive.
    const { version } = await engine.readFloors(eventId);
    const unfollow = await engine.followFloor(eventId, (one) => one.version > version && news.listener(one));
    for (const waitMs of [30_000, 20_000, 25_000]) await press(engine, channelId, "v", { queue: { waitMs, limit: 5 } });
    await press(engine, channelId, "v", { priority: "dispatch" });

    await news.until(3);
    const looks = news.seen.map(({ timeMs, changes }) =>
      Math.round(((changes[0]?.lookAtMs ?? timeMs) - timeMs) / 1_000),
    );
    expect(looks).toEqual([30, 20, 0]);
    unfollow();
  });
}
