import fc from "fast-check";
import { expect, test } from "vitest";
import { FLOOR_PRIORITIES, type FloorPriority, outranks } from "../../../src/domain/floor.js";
import type { PttHolder, PublishedSpeaker, StartPttRequest } from "../../../src/domain/ports/floorStore.js";
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

// The actions of devices on one channel's floor. `lease` counts back from the newest lease.
const step = fc.oneof(
  fc.record({
    do: fc.constant("start" as const),
    user: fc.nat(2),
    session: fc.nat(1),
    priority: fc.constantFrom(...FLOOR_PRIORITIES),
  }),
  fc.record({ do: fc.constant("stopByLease" as const), lease: fc.nat(2) }),
  fc.record({ do: fc.constant("stopByUser" as const), user: fc.nat(2), session: fc.nat(1) }),
);

export function describeFloor(getEngine: GetEngine): void {
  test("a grant has the speaker, its start and its end, by the store's clock", async () => {
    const engine = getEngine();
    const { eventId, channelId } = await makeEvent(engine, ["u"]);
    expect(await engine.getChannelState(channelId)).toEqual({ eventId });

    const before = Date.now();
    const outcome = await take(engine, channelId, "u", { userName: `Ü "U"`, priority: "dispatch" });
    const { startedAtMs } = outcome.speaker;
    expect(startedAtMs).toBeGreaterThanOrEqual(before - 1_000);
    expect(startedAtMs).toBeLessThanOrEqual(Date.now() + 1_000);
    expect(outcome.speaker).toEqual({
      channelId,
      userId: "u",
      userName: `Ü "U"`,
      startedAtMs,
      expiresAtMs: startedAtMs + 30_000,
      priority: "dispatch",
    });
    expect(Number.isSafeInteger(outcome.leaseId)).toBe(true);
  });

  test("every reader receives the same, real times (pitfall 14)", async () => {
    const engine = getEngine();
    const { eventId, channelId } = await makeEvent(engine, ["u", "v"]);
    const { speaker } = await take(engine, channelId, "u");

    expect(await engine.getChannelState(channelId)).toEqual({ eventId, holder: speaker });
    expect(await engine.getChannelState(channelId)).toEqual({ eventId, holder: speaker });
    expect(await engine.getActiveSpeakers(eventId)).toEqual({ speakers: [speaker] });
    expect(await press(engine, channelId, "v")).toMatchObject({ holder: speaker });
  });

  test("a channel that belongs to no event is not found", async () => {
    const engine = getEngine();
    const channelId = freshId("channel");
    const texts = ["channel_id:", channelId, "SetChannelEvent"];
    await expectFailure(press(engine, channelId, "u"), "notFound", ...texts);
    await expectFailure(engine.stopPtt(channelId, { leaseId: 1 }), "notFound", ...texts);
    await expectFailure(engine.getChannelState(channelId), "notFound", ...texts);
    expect(await engine.getChannelEvent(channelId)).toBeUndefined();
  });

  test.each([
    ["who was never written", async () => undefined],
    [
      "whose channels were revoked",
      async (engine: ReturnType<GetEngine>, eventId: string) => {
        const write = { eventId, userId: "u", action: "", actor: "admin", onlyIfUnknown: false };
        await engine.setUserChannels({ ...write, channelIds: [freshId("channel")] });
        await engine.setUserChannels({ ...write, channelIds: [] });
      },
    ],
    ["with channels of another event", (engine: ReturnType<GetEngine>) => makeEvent(engine, ["u"])],
  ])("a user %s is denied (pitfall 3)", async (_, prepare) => {
    const engine = getEngine();
    const { eventId, channelId } = await makeEvent(engine, ["member"]);
    await prepare(engine, eventId);
    expect(await press(engine, channelId, "u")).toMatchObject({ granted: false, cause: "receiveOnly" });

    const { speaker } = await take(engine, channelId, "member");
    expect(await press(engine, channelId, "u")).toMatchObject({ granted: false, cause: "receiveOnly" });
    expect((await engine.getChannelState(channelId)).holder).toEqual(speaker);
  });

  test("G4: while a user speaks, another is denied and receives the holder", async () => {
    const engine = getEngine();
    const { channelId } = await makeEvent(engine, ["u", "v"]);
    const { speaker } = await take(engine, channelId, "u");

    const denied = { granted: false, cause: "anotherHasPermission", holder: speaker };
    expect(await press(engine, channelId, "v")).toEqual(denied);
    expect((await engine.getChannelState(channelId)).holder).toEqual(speaker);
  });

  test("the floors of two channels are independent", async () => {
    const engine = getEngine();
    const { eventId, channelIds } = await makeEvent(engine, ["u", "v"], 3);
    const [a, , c] = channelIds as [string, string, string];
    const onC = await take(engine, c, "u");
    const onA = await take(engine, a, "v");
    expect(await engine.getActiveSpeakers(eventId)).toEqual({ speakers: [onA.speaker, onC.speaker] });

    await engine.stopPtt(c, { leaseId: onC.leaseId });
    expect(await engine.getActiveSpeakers(eventId)).toEqual({ speakers: [onA.speaker] });
    await expectFailure(engine.stopPtt(c, { leaseId: onA.leaseId }), "failedPrecondition");
  });

  test("an event without writes has no speakers", async () => {
    expect(await getEngine().getActiveSpeakers(freshId("event"))).toEqual({ speakers: [] });
  });

  test("a session that repeats its request is granted its current lease", async () => {
    const engine = getEngine();
    const { channelId } = await makeEvent(engine, ["u"]);
    const first = await take(engine, channelId, "u", { sessionId: "radio" });
    expect(await press(engine, channelId, "u", { sessionId: "radio" })).toEqual(first);
  });

  test("a user's second device is denied and cannot release the floor of the first device (pitfall 13)", async () => {
    const engine = getEngine();
    const { channelId } = await makeEvent(engine, ["u"]);
    const { speaker } = await take(engine, channelId, "u", { sessionId: "radio" });

    for (const sessionId of ["phone", ""]) {
      const denied = { granted: false, cause: "anotherHasPermission", holder: speaker };
      expect(await press(engine, channelId, "u", { sessionId })).toMatchObject(denied);
      await expectFailure(engine.stopPtt(channelId, { userId: "u", sessionId }), "failedPrecondition", "user_id:");
      expect((await engine.getChannelState(channelId)).holder).toEqual(speaker);
    }
  });

  test.each<[string, string, (leaseId: number) => PttHolder]>([
    ["its lease", "radio", (leaseId) => ({ leaseId })],
    ["its user and session", "radio", () => ({ userId: "u", sessionId: "radio" })],
    ["its user, taken without a session", "", () => ({ userId: "u", sessionId: "" })],
  ])("a floor is released by %s", async (_, sessionId, holder) => {
    const engine = getEngine();
    const { eventId, channelId } = await makeEvent(engine, ["u", "v"]);
    const { leaseId } = await take(engine, channelId, "u", { sessionId });

    await engine.stopPtt(channelId, holder(leaseId));
    expect(await engine.getChannelState(channelId)).toEqual({ eventId });
    const next = await take(engine, channelId, "v");
    expect(next.leaseId).toBeGreaterThan(leaseId);
  });

  test("G4: a stale release does not change the floor of the next speaker (pitfall 11)", async () => {
    const engine = getEngine();
    const { channelId } = await makeEvent(engine, ["u", "v"]);
    const stale = await take(engine, channelId, "u", { sessionId: "radio" });
    await engine.stopPtt(channelId, { leaseId: stale.leaseId });
    const { speaker } = await take(engine, channelId, "v", { sessionId: "radio" });

    const byLease = engine.stopPtt(channelId, { leaseId: stale.leaseId });
    await expectFailure(byLease, "failedPrecondition", "lease_id:", channelId);
    const byUser = engine.stopPtt(channelId, { userId: "u", sessionId: "radio" });
    await expectFailure(byUser, "failedPrecondition", "user_id:", channelId);
    expect((await engine.getChannelState(channelId)).holder).toEqual(speaker);
  });

  test("G4: an old lease of the holder is stale too", async () => {
    const engine = getEngine();
    const { channelId } = await makeEvent(engine, ["u"]);
    const stale = await take(engine, channelId, "u");
    await engine.stopPtt(channelId, { leaseId: stale.leaseId });
    const { speaker } = await take(engine, channelId, "u");
    await expectFailure(engine.stopPtt(channelId, { leaseId: stale.leaseId }), "failedPrecondition");
    expect((await engine.getChannelState(channelId)).holder).toEqual(speaker);
  });

  test("a free floor cannot be released", async () => {
    const engine = getEngine();
    const { channelId } = await makeEvent(engine, ["u"]);
    await expectFailure(engine.stopPtt(channelId, { leaseId: 1 }), "failedPrecondition");
    await expectFailure(engine.stopPtt(channelId, { userId: "u", sessionId: "" }), "failedPrecondition");
  });

  test("a listener is called once per change of speaker, and not if nothing changes (pitfalls 12, 15)", async () => {
    const engine = getEngine();
    const { channelIds } = await makeEvent(engine, ["u", "v"], 2);
    const [channelId, other] = channelIds as [string, string];
    const [speakers, gone] = [collect<PublishedSpeaker | undefined>(), collect<PublishedSpeaker | undefined>()];
    const unfollow = await engine.followChannel(channelId, speakers.listener);
    (await engine.followChannel(channelId, gone.listener))();

    await take(engine, other, "v");
    const { leaseId, speaker } = await take(engine, channelId, "u");
    await speakers.until(1);
    await take(engine, channelId, "u");
    await press(engine, channelId, "v");
    await expectFailure(engine.stopPtt(channelId, { leaseId: leaseId - 1 }), "failedPrecondition");
    await expectFailure(engine.stopPtt(channelId, { userId: "v", sessionId: "" }), "failedPrecondition");
    await engine.stopPtt(channelId, { leaseId });
    await speakers.until(2);
    await expectFailure(engine.stopPtt(channelId, { leaseId }), "failedPrecondition");
    const next = await take(engine, channelId, "v");

    await speakers.until(3);
    expect(speakers.seen.map(published)).toEqual([speaker, undefined, next.speaker].map(published));
    expect(gone.seen).toEqual([]);
    unfollow();
  });

  test("G4: of many requests at the same time exactly one is granted", async () => {
    const engine = getEngine();
    const users = freshIds("user", 30);
    const { channelId } = await makeEvent(engine, users);
    const outcomes = await Promise.all(users.map((userId) => press(engine, channelId, userId)));

    const granted = outcomes.filter((outcome) => outcome.granted);
    expect(granted).toHaveLength(1);
    const holder = granted[0]?.speaker;
    expect((await engine.getChannelState(channelId)).holder).toEqual(holder);
    for (const outcome of outcomes) {
      if (!outcome.granted) expect(outcome).toEqual({ granted: false, cause: "anotherHasPermission", holder });
    }
  });

  test("G4: in any history there is one holder, and only the holder releases", async () => {
    const engine = getEngine();
    const users = ["u0", "u1", "u2"];
    const history = fc.asyncProperty(fc.array(step, { maxLength: 15 }), async (steps) => {
      const { eventId, channelId } = await makeEvent(engine, users);
      const leases: number[] = [];
      let holder: { userId: string; sessionId: string; leaseId: number; priority: FloorPriority } | undefined;
      let cut = 0;
      for (const one of steps) {
        if (one.do === "start") {
          const [userId, sessionId] = [`u${one.user}`, `s${one.session}`];
          const { priority } = one;
          const outcome = await press(engine, channelId, userId, { sessionId, priority });
          const isOwn = holder?.userId === userId && holder.sessionId === sessionId;
          const isHigher = holder !== undefined && outranks(priority, holder.priority);
          expect(outcome.granted).toBe(holder === undefined || isOwn || isHigher);
          if (!outcome.granted) continue;
          if (holder === undefined || !isOwn) {
            if (holder !== undefined) cut += 1;
            expect(outcome.leaseId).toBeGreaterThan(leases.at(-1) ?? 0);
            leases.push(outcome.leaseId);
            holder = { userId, sessionId, leaseId: outcome.leaseId, priority };
          }
          if (isHigher) holder.priority = priority;
          expect(outcome.leaseId).toBe(holder.leaseId);
        } else {
          const by: PttHolder =
            one.do === "stopByLease"
              ? { leaseId: leases.at(-1 - one.lease) ?? 1 }
              : { userId: `u${one.user}`, sessionId: `s${one.session}` };
          const isHolders =
            "leaseId" in by
              ? by.leaseId === holder?.leaseId
              : by.userId === holder?.userId && by.sessionId === holder.sessionId;
          if (isHolders) {
            await engine.stopPtt(channelId, by);
            holder = undefined;
          } else await expectFailure(engine.stopPtt(channelId, by), "failedPrecondition");
        }
        const { holder: reported } = await engine.getChannelState(channelId);
        expect(reported && [reported.userId, reported.priority]).toEqual(holder && [holder.userId, holder.priority]);
      }
      const kinds = (await readWholeLog(engine, eventId)).map((entry) => entry.kind);
      expect(kinds.filter((kind) => kind === "floorRevoked")).toHaveLength(cut);
    });
    await fc.assert(history, { numRuns: 40 });
  });

  test("a press may need no membership while the event has none", async () => {
    const engine = getEngine();
    const eventId = freshId("event");
    const channelId = freshId("channel");
    await engine.setChannelEvent(channelId, eventId, "admin", false);
    const terms = { admitsAllWithoutMembers: true };
    expect(await press(engine, channelId, "u")).toMatchObject({ cause: "receiveOnly" });
    expect(await press(engine, channelId, "u", terms)).toMatchObject({ granted: true });
    await engine.stopPtt(channelId, { userId: "u", sessionId: "" });
    await assign(engine, eventId, "member", [channelId]);
    expect(await press(engine, channelId, "u", terms)).toMatchObject({ cause: "receiveOnly" });
    expect(await press(engine, channelId, "member", terms)).toMatchObject({ granted: true });
  });

  test("without the membership check, event, ban, pause, holder and priority still decide", async () => {
    const engine = getEngine();
    const { eventId, channelId } = await makeEvent(engine, ["u"]);
    const [stranger, banned] = [freshId("user"), freshId("user")];
    const ask = (userId: string, rest: Partial<StartPttRequest> = {}) =>
      press(engine, channelId, userId, { ignoresMembership: true, ...rest });
    expect(await press(engine, channelId, stranger)).toMatchObject({ cause: "receiveOnly" });
    expect(await ask(stranger)).toMatchObject({ granted: true, speaker: { userId: stranger } });
    expect(await ask("other")).toMatchObject({ cause: "anotherHasPermission", holder: { userId: stranger } });
    expect(await ask("waiter", { queue: { waitMs: 10_000, limit: 1 } })).toMatchObject({ place: { position: 1 } });
    await engine.stopPtt(channelId, { userId: stranger, sessionId: "" });
    expect((await engine.getChannelState(channelId)).holder, "nor for the queue").toMatchObject({ userId: "waiter" });
    expect(await ask("other", { priority: "dispatch" })).toMatchObject({ granted: true });
    await engine.banUser({ eventId, userId: banned, reason: "", actor: "admin", durationMs: 60_000 });
    expect(await ask(banned, { priority: "emergency" })).toMatchObject({
      cause: "receiveOnly",
      ban: { userId: banned },
    });
    await pause(engine, eventId);
    expect(await ask(stranger, { priority: "emergency" })).toMatchObject({ cause: "retryAfter" });
    const nowhere = press(engine, freshId("channel"), stranger, { ignoresMembership: true });
    await expectFailure(nowhere, "notFound", "channel_id:");
    await engine.unbanUser(eventId, banned, "admin");
  });
}
