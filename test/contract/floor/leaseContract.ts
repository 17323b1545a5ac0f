import { describe, expect, test } from "vitest";
import type { FloorRevoked } from "../../../src/domain/change.js";
import type { Engine } from "../../../src/domain/ports/engine.js";
import type { FloorNews, PublishedSpeaker } from "../../../src/domain/ports/floorStore.js";
import { waitFor } from "../../support/waitFor.js";
import {
  assign,
  collect,
  expectFailure,
  freshId,
  type GetEngine,
  makeEvent,
  pause,
  press,
  published,
  readWholeLog,
  take,
} from "../fixtures.js";

/** Returns the ends of floors in the log, in order. */
export async function readRevocations(engine: Engine, eventId: string) {
  const entries = await readWholeLog(engine, eventId);
  return entries
    .filter((entry): entry is typeof entry & FloorRevoked => entry.kind === "floorRevoked")
    .map(({ channelId, userId, cause, byUserId, actor }) => ({ channelId, userId, cause, byUserId, actor }));
}

async function untilFree(engine: Engine, channelId: string): Promise<void> {
  await waitFor(async () => (await engine.getChannelState(channelId)).holder === undefined, {
    message: "the lease to run out",
  });
}

export function describeLeases(getEngine: GetEngine): void {
  test("a lease ends after its lease time if its talk time is longer", async () => {
    const engine = getEngine();
    const { channelId } = await makeEvent(engine, ["u"]);
    const { speaker, talkUntilMs } = await take(engine, channelId, "u", { talkTimeMs: 90_000, leaseTimeMs: 6_000 });
    expect(speaker.expiresAtMs - speaker.startedAtMs).toBe(6_000);
    expect(talkUntilMs - speaker.startedAtMs).toBe(90_000);
    const again = await take(engine, channelId, "u", { talkTimeMs: 1_000, leaseTimeMs: 1_000 });
    expect(again).toMatchObject({ speaker, talkUntilMs });
  });

  test("a lease does not outlast the talk time", async () => {
    const engine = getEngine();
    const { channelId } = await makeEvent(engine, ["u"]);
    const { speaker, talkUntilMs } = await take(engine, channelId, "u", { talkTimeMs: 2_000, leaseTimeMs: 6_000 });
    expect(speaker.expiresAtMs).toBe(talkUntilMs);
  });

  test("G4: a renewed lease keeps the floor for longer than it would last (pitfall 10)", async () => {
    const engine = getEngine();
    const { eventId, channelId } = await makeEvent(engine, ["u", "v"]);
    const terms = { talkTimeMs: 60_000, leaseTimeMs: 1_500 };
    const { leaseId, speaker } = await take(engine, channelId, "u", terms);
    let expiresAtMs = speaker.expiresAtMs;
    await waitFor(
      async () => {
        const renewedMs = await engine.renewPtt(channelId, leaseId);
        expect(renewedMs).toBeGreaterThanOrEqual(expiresAtMs);
        expiresAtMs = renewedMs;
        expect(await press(engine, channelId, "v")).toMatchObject({ cause: "anotherHasPermission" });
        return expiresAtMs > speaker.expiresAtMs + 1_500;
      },
      { message: "renewals for longer than the lease" },
    );
    const { holder } = await engine.getChannelState(channelId);
    expect(holder).toEqual({ ...speaker, expiresAtMs });
    expect(await engine.getActiveSpeakers(eventId)).toEqual({ speakers: [holder] });
    expect(await readRevocations(engine, eventId)).toEqual([]);
  });

  test("no renewal goes beyond the talk time", async () => {
    const engine = getEngine();
    const { eventId, channelId } = await makeEvent(engine, ["u"]);
    const { leaseId, talkUntilMs } = await take(engine, channelId, "u", { talkTimeMs: 1_500, leaseTimeMs: 1_200 });
    await waitFor(async () => (await engine.renewPtt(channelId, leaseId)) === talkUntilMs, { message: "the limit" });
    await untilFree(engine, channelId);
    await expectFailure(engine.renewPtt(channelId, leaseId), "failedPrecondition", "lease_id:", channelId);
    const end = { channelId, userId: "u", cause: "talkedTooLong", byUserId: "", actor: "" };
    expect(await readRevocations(engine, eventId)).toEqual([end]);
  });

  test("G4: a stale lease cannot be renewed, and nothing is touched (pitfall 11)", async () => {
    const engine = getEngine();
    const { eventId, channelIds, channelId } = await makeEvent(engine, ["u", "v"], 2);
    const stale = await take(engine, channelId, "u");
    await engine.stopPtt(channelId, { leaseId: stale.leaseId });
    await expectFailure(engine.renewPtt(channelId, stale.leaseId), "failedPrecondition", "lease_id:");
    const { leaseId, speaker } = await take(engine, channelId, "v", { leaseTimeMs: 5_000 });

    for (const id of [stale.leaseId, leaseId - 1, leaseId + 1, 1]) {
      await expectFailure(engine.renewPtt(channelId, id), "failedPrecondition", "lease_id:", channelId);
    }
    await expectFailure(engine.renewPtt(channelIds[1] as string, leaseId), "failedPrecondition");
    await expectFailure(engine.renewPtt(freshId("channel"), leaseId), "notFound", "channel_id:");
    expect((await engine.getChannelState(channelId)).holder).toEqual(speaker);
    expect(await readRevocations(engine, eventId)).toEqual([]);
  });

  test("G5: a lease that a pause has cut is stale", async () => {
    const engine = getEngine();
    const { eventId, channelIds } = await makeEvent(engine, ["u", "chief"], 2);
    const [cut, spared] = channelIds as [string, string];
    const { leaseId } = await take(engine, cut, "u");
    const exempt = await take(engine, spared, "chief", { leaseTimeMs: 5_000 });
    const { pause: paused } = await pause(engine, eventId, { exemptUserIds: ["chief"] });

    await expectFailure(engine.renewPtt(cut, leaseId), "failedPrecondition");
    expect(await engine.renewPtt(spared, exempt.leaseId)).toBeGreaterThanOrEqual(exempt.speaker.expiresAtMs);
    await engine.resumeSpeakers(eventId, paused.pauseId, "admin");
    await expectFailure(engine.renewPtt(cut, leaseId), "failedPrecondition");
    expect(await readRevocations(engine, eventId)).toEqual([]);
  });

  describe("a renewal takes the floor from a speaker", () => {
    const end = { userId: "u", cause: "noPermission", byUserId: "", actor: "" };

    async function speakAndLose(engine: Engine, lose: (eventId: string, channelId: string) => Promise<unknown>) {
      const { eventId, channelId } = await makeEvent(engine, ["u", "v"]);
      const { leaseId } = await take(engine, channelId, "u");
      expect(await engine.renewPtt(channelId, leaseId)).toBeGreaterThan(0);
      await lose(eventId, channelId);
      await expectFailure(engine.renewPtt(channelId, leaseId), "failedPrecondition", "lease_id:", channelId);
      return { eventId, channelId, leaseId };
    }

    test("whose membership was revoked", async () => {
      const engine = getEngine();
      const { eventId, channelId, leaseId } = await speakAndLose(engine, (event) => assign(engine, event, "u", []));
      expect(await readRevocations(engine, eventId)).toEqual([{ channelId, ...end }]);
      expect((await engine.getChannelState(channelId)).holder).toBeUndefined();
      expect(await press(engine, channelId, "v")).toMatchObject({ granted: true });
      await expectFailure(engine.renewPtt(channelId, leaseId), "failedPrecondition");
      expect(await readRevocations(engine, eventId)).toHaveLength(1);
    });

    test("whose membership was revoked, unless memberships are not checked", async () => {
      const engine = getEngine();
      const { eventId, channelId } = await makeEvent(engine, ["v"]);
      const { leaseId } = await take(engine, channelId, "u", { ignoresMembership: true });
      expect(await engine.renewPtt(channelId, leaseId, true)).toBeGreaterThan(0);
      await expectFailure(engine.renewPtt(channelId, leaseId), "failedPrecondition");
      expect(await readRevocations(engine, eventId)).toEqual([{ channelId, ...end }]);
    });

    test("whose membership was revoked, for the next request that waits", async () => {
      const engine = getEngine();
      const { channelId } = await speakAndLose(engine, async (eventId, channel) => {
        const queue = { waitMs: 30_000, limit: 5 };
        expect(await press(engine, channel, "v", { queue })).toMatchObject({ place: { position: 1 } });
        await assign(engine, eventId, "u", []);
      });
      expect((await engine.getChannelState(channelId)).holder).toMatchObject({ userId: "v" });
    });

    test("who was banned by a router", async () => {
      const engine = getEngine();
      const banned = freshId("banned");
      const [here, there] = [await makeEvent(engine, [banned]), await makeEvent(engine, ["w"])];
      const { leaseId } = await take(engine, here.channelId, banned);
      // In the event of the ban the floor is taken at once. Other events learn of the ban later.
      await engine.banUser({ eventId: there.eventId, userId: banned, reason: "", actor: "admin", durationMs: 60_000 });
      const renewal = engine.renewPtt(here.channelId, leaseId);
      if (engine.banScope === "event") expect(await renewal).toBeGreaterThan(0);
      else await expectFailure(renewal, "failedPrecondition");
    });

    test("except a broadcaster, who needs no membership", async () => {
      const engine = getEngine();
      const { eventId, channelId } = await makeEvent(engine, ["u"]);
      await pause(engine, eventId, { broadcaster: { userId: "guest", userName: "" } });
      const { leaseId } = await take(engine, channelId, "guest", { ignoresMembership: true });
      expect(await engine.renewPtt(channelId, leaseId)).toBeGreaterThan(0);
      expect(await readRevocations(engine, eventId)).toEqual([]);
    });
  });

  test("the broadcaster's leases last as long as the pause, renewed or not", async () => {
    const engine = getEngine();
    const { eventId, channelId } = await makeEvent(engine, ["dispatcher"]);
    const broadcaster = { userId: "dispatcher", userName: "D" };
    const { pause: paused } = await pause(engine, eventId, { broadcaster });
    const { leaseId, talkUntilMs } = await take(engine, channelId, "dispatcher", { sessionId: "radio" });
    expect(talkUntilMs).toBe(paused.expiresAtMs);
    expect(await engine.renewPtt(channelId, leaseId)).toBe(paused.expiresAtMs);

    await engine.resumeSpeakers(eventId, paused.pauseId, "admin");
    await expectFailure(engine.renewPtt(channelId, leaseId), "failedPrecondition");
    expect(await readRevocations(engine, eventId)).toEqual([]);
  });

  test.each<[string, (engine: Engine, eventId: string, channelId: string, leaseId: number) => Promise<unknown>]>([
    ["startPtt", (engine, _, channelId) => take(engine, channelId, "v")],
    ["a startPtt that is denied", (engine, _, channelId) => press(engine, channelId, "stranger")],
    ["renewPtt", (engine, _, channelId, leaseId) => engine.renewPtt(channelId, leaseId).catch(() => undefined)],
    ["stopPtt", (engine, _, channelId, leaseId) => engine.stopPtt(channelId, { leaseId }).catch(() => undefined)],
    ["loadEvent", (engine, eventId) => engine.loadEvent(eventId)],
    ["pauseAllSpeakers", (engine, eventId) => pause(engine, eventId)],
    ["setChannelEvent", (engine, _, channelId) => engine.setChannelEvent(channelId, freshId("event"), "test", false)],
  ])("the end of an expired lease is announced once, at the latest by %s (pitfall 33)", async (_, look) => {
    const engine = getEngine();
    const { eventId, channelId } = await makeEvent(engine, ["u", "v"]);
    const speakers = collect<PublishedSpeaker | undefined>();
    const unfollow = await engine.followChannel(channelId, speakers.listener);
    const { leaseId, speaker } = await take(engine, channelId, "u", { leaseTimeMs: 100 });
    await untilFree(engine, channelId);
    await look(engine, eventId, channelId, leaseId);
    await Promise.all([engine.loadEvent(eventId), engine.loadEvent(eventId)]);

    const end = { channelId, userId: "u", cause: "other", byUserId: "", actor: "" };
    expect(await readRevocations(engine, eventId)).toEqual([end]);
    await speakers.until(2);
    expect(speakers.seen.slice(0, 2).map(published)).toEqual([speaker, undefined].map(published));
    unfollow();
  });

  test("the end of a lease is published before the next grant", async () => {
    const engine = getEngine();
    const { eventId, channelId } = await makeEvent(engine, ["u"]);
    for (const userName of ["first", "second", "third"]) {
      await take(engine, channelId, "u", { userName, leaseTimeMs: 50 });
      await untilFree(engine, channelId);
    }
    await take(engine, channelId, "u");
    expect(await readRevocations(engine, eventId)).toHaveLength(3);
  });

  test("a lease that ended in another way is not announced as expired", async () => {
    const engine = getEngine();
    const { eventId, channelIds } = await makeEvent(engine, ["u"], 3);
    const [released, moved, cut] = channelIds as [string, string, string];
    const { leaseId } = await take(engine, released, "u");
    await take(engine, moved, "u");
    await engine.stopPtt(released, { leaseId });
    await engine.setChannelEvent(moved, freshId("event"), "admin", false);
    await take(engine, cut, "u");
    await pause(engine, eventId, { durationMs: 0 });
    await engine.loadEvent(eventId);
    const end = { channelId: moved, userId: "u", cause: "noPermission", byUserId: "", actor: "admin" };
    expect(await readRevocations(engine, eventId)).toEqual([end]);
  });

  test("endLeases announces expired leases, and returns the running ones with their time", async () => {
    const engine = getEngine();
    const { eventId, channelIds } = await makeEvent(engine, ["u"], 4);
    const [ended, alsoEnded, running, released] = channelIds as [string, string, string, string];
    for (const channelId of [ended, alsoEnded]) await take(engine, channelId, "u", { leaseTimeMs: 50 });
    const { leaseId, speaker } = await take(engine, running, "u", { leaseTimeMs: 20_000 });
    await engine.stopPtt(released, { leaseId: (await take(engine, released, "u")).leaseId });
    await untilFree(engine, ended);
    await untilFree(engine, alsoEnded);

    const news = collect<FloorNews>();
    const unfollow = await engine.followFloor(eventId, news.listener);
    const one = await engine.endLeases(eventId, [ended, running, freshId("channel")]);
    expect(one).toEqual([{ channelId: running, remainingMs: expect.any(Number) }]);
    await news.until(1);
    expect(news.seen[0]?.changes).toMatchObject([{ channelId: ended, hasLease: false }]);
    await engine.renewPtt(running, leaseId);
    const [all] = await Promise.all([engine.endLeases(eventId), engine.endLeases(eventId)]);
    expect(all).toEqual([{ channelId: running, remainingMs: expect.any(Number) }]);
    expect(all[0]?.remainingMs).toBeGreaterThan(speaker.expiresAtMs - Date.now() - 2_000);
    expect(all[0]?.remainingMs).toBeLessThanOrEqual(20_000);
    expect((await readRevocations(engine, eventId)).map(({ channelId }) => channelId)).toEqual([ended, alsoEnded]);
    await news.until(2);
    expect(news.seen[1]?.changes).toMatchObject([{ channelId: alsoEnded, hasLease: false }]);
    unfollow();
    expect(await engine.endLeases(freshId("event"))).toEqual([]);
  });

  test("each change of speaker is published, numbered without gaps", async () => {
    const engine = getEngine();
    const { eventId, channelId } = await makeEvent(engine, ["u", "v", "dispatcher"]);
    const news = collect<FloorNews>();
    const unfollow = await engine.followFloor(eventId, news.listener);
    const u = await take(engine, channelId, "u", { leaseTimeMs: 5_000 });
    await engine.renewPtt(channelId, u.leaseId);
    await press(engine, channelId, "v");
    const v = await take(engine, channelId, "v", { priority: "dispatch" });
    const raised = await take(engine, channelId, "v", { priority: "emergency" });
    await engine.stopPtt(channelId, { leaseId: v.leaseId });
    const short = await take(engine, channelId, "u", { leaseTimeMs: 50 });
    await untilFree(engine, channelId);
    await engine.endLeases(eventId);
    const broadcaster = { userId: "dispatcher", userName: "D" };
    const { pause: paused } = await pause(engine, eventId, { broadcaster });
    const { holder } = await engine.getChannelState(channelId);
    await engine.resumeSpeakers(eventId, paused.pauseId, "admin");
    await news.until(8);
    unfollow();

    const publishedChanges = news.seen.flatMap(({ changes }) => changes);
    expect(publishedChanges.map((change) => [change.channelId, change.holder, change.hasLease])).toEqual([
      [channelId, u.speaker, true],
      [channelId, v.speaker, true],
      [channelId, raised.speaker, true],
      [channelId, undefined, false],
      [channelId, short.speaker, true],
      [channelId, undefined, false],
      [channelId, holder, false],
      [channelId, undefined, false],
    ]);
    const { epoch } = await engine.loadEvent(eventId);
    const first = news.seen[0]?.version ?? 0;
    expect(news.seen.map((one) => [one.epoch, one.version])).toEqual(
      publishedChanges.map((_, index) => [epoch, first + index]),
    );
    expect(Math.abs((news.seen[0]?.timeMs ?? 0) - u.speaker.startedAtMs)).toBeLessThan(1_000);
  });

  test("a pause and its end are each published in one message, for any number of channels", async () => {
    const engine = getEngine();
    const { eventId, channelIds } = await makeEvent(engine, ["u"], 1_500);
    const broadcaster = { userId: "dispatcher", userName: "D" };
    const news = collect<FloorNews>();
    const unfollow = await engine.followFloor(eventId, news.listener);
    const publishedChanges = () => news.seen.flatMap(({ changes }) => changes);
    const { pause: paused } = await pause(engine, eventId, { broadcaster });
    await engine.resumeSpeakers(eventId, paused.pauseId, "admin");
    await waitFor(() => publishedChanges().length === 3_000, { message: "all changes" });
    unfollow();
    expect(
      publishedChanges()
        .slice(0, 1_500)
        .map(({ channelId }) => channelId),
    ).toEqual(channelIds);
    expect(publishedChanges().map(({ holder }) => holder?.userId)).toEqual([
      ...channelIds.map(() => "dispatcher"),
      ...channelIds.map(() => undefined),
    ]);
  });
}
