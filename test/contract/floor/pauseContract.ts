import { expect, test } from "vitest";
import type { Engine } from "../../../src/domain/ports/engine.js";
import type { FloorNews, PublishedSpeaker } from "../../../src/domain/ports/floorStore.js";
import { batchesOf } from "../../../src/lib/batchesOf.js";
import {
  assign,
  collect,
  expectFailure,
  freshId,
  freshIds,
  future,
  type GetEngine,
  makeEvent,
  pause,
  press,
  published,
  readWholeLog,
  take,
  untilRunOut,
  update,
  written,
} from "../fixtures.js";

const broadcaster = { userId: "dispatcher", userName: "The dispatcher" };

async function speakersOf(engine: Engine, eventId: string): Promise<string[]> {
  return (await engine.getActiveSpeakers(eventId)).speakers.map((speaker) => speaker.userId);
}

/** A pause of 200 ms that has expired without an announcement. */
async function makeRunOutPause(engine: Engine, eventId: string) {
  const outcome = await pause(engine, eventId, { durationMs: 200 });
  await untilRunOut(engine, eventId);
  return outcome;
}

export function describePause(getEngine: GetEngine): void {
  test("G5: a pause cuts every floor and is one entry that lists them", async () => {
    const engine = getEngine();
    const { eventId, channelIds } = await makeEvent(engine, ["u", "v"], 3);
    const [a, , c] = channelIds as [string, string, string];
    const onC = await take(engine, c, "u", { priority: "dispatch" });
    const onA = await take(engine, a, "v");
    const outcome = await pause(engine, eventId, { exemptUserIds: ["x", "y"] });

    const { pause: paused, epoch } = outcome;
    const position = { epoch, replicated: false };
    expect(epoch).toMatch(/./);
    expect(outcome).toEqual({ pause: paused, cut: [onA.speaker, onC.speaker], revision: 3, ...position });
    expect(paused).toEqual({
      pauseId: expect.stringMatching(/./),
      reason: "fire",
      actor: "admin",
      startedAtMs: paused.startedAtMs,
      expiresAtMs: paused.startedAtMs + 60_000,
      exemptUserIds: ["x", "y"],
    });
    expect(Math.abs(paused.startedAtMs - Date.now())).toBeLessThan(5_000);

    expect((await readWholeLog(engine, eventId)).slice(2)).toEqual([
      {
        kind: "speakersPaused",
        pause: paused,
        cut: outcome.cut,
        actor: "admin",
        revision: 3,
        timeMs: expect.any(Number),
        epoch: (await engine.readPosition(eventId))?.epoch,
      },
    ]);
    expect(await engine.getActiveSpeakers(eventId)).toEqual({ speakers: [], pause: paused });
    expect((await engine.loadEvent(eventId)).pause).toEqual(paused);
  });

  test("G5: paused speakers and newcomers are held back on every channel (pitfall 19)", async () => {
    const engine = getEngine();
    const { eventId, channelIds } = await makeEvent(engine, ["u", "v"], 3);
    const cut = await take(engine, channelIds[0] as string, "u", { sessionId: "radio" });
    const { pause: paused } = await pause(engine, eventId);
    await assign(engine, eventId, "newcomer", channelIds);

    const denied = { granted: false, cause: "retryAfter", pause: paused };
    for (const channelId of channelIds) {
      for (const userId of ["u", "v", "newcomer", "stranger"]) {
        expect(await press(engine, channelId, userId, { sessionId: "radio" })).toEqual(denied);
      }
      expect(await engine.getChannelState(channelId)).toEqual({ eventId });
    }
    const stop = engine.stopPtt(channelIds[0] as string, { leaseId: cut.leaseId });
    await expectFailure(stop, "failedPrecondition");
    expect(await speakersOf(engine, eventId)).toEqual([]);
  });

  test("G5: channels that are added during a pause are held back too (pitfall 19)", async () => {
    const engine = getEngine();
    const { eventId } = await makeEvent(engine, ["u"]);
    const other = await makeEvent(engine, ["u"]);
    const [learned, assigned, associated] = freshIds("channel", 3) as [string, string, string];
    await take(engine, other.channelId, "u");
    const { pause: paused } = await pause(engine, eventId);

    await engine.applyMemberships(eventId, [update("v", [learned], future(1))]);
    await assign(engine, eventId, "w", [assigned]);
    await engine.setChannelEvent(associated, eventId, "test", false);
    await engine.setChannelEvent(other.channelId, eventId, "test", false);
    for (const channelId of [learned, assigned, associated, other.channelId]) {
      for (const userId of ["u", "v", "w"]) {
        const denied = { granted: false, cause: "retryAfter", pause: paused };
        expect(await press(engine, channelId, userId)).toEqual(denied);
      }
    }
    expect(await speakersOf(engine, eventId)).toEqual([]);
  });

  test("G5: a user who presses while the pause is made is cut by it or denied (pitfall 18)", async () => {
    const engine = getEngine();
    const users = freshIds("user", 40);
    const { eventId, channelIds } = await makeEvent(engine, users, 40);
    const presses = users.map((userId, index) => press(engine, channelIds[index] as string, userId));
    const [{ cut }, ...outcomes] = await Promise.all([
      pause(engine, eventId),
      ...presses,
      ...users.map((userId, index) => press(engine, channelIds[index] as string, userId)),
    ]);

    const granted = outcomes.flatMap((outcome) => (outcome.granted ? [outcome.speaker.userId] : []));
    expect(cut.map((speaker) => speaker.userId)).toEqual([...new Set(granted)].sort());
    expect(await speakersOf(engine, eventId)).toEqual([]);
  });

  test("G5: 1,000 busy channels are cut in one step and one entry (pitfall 18)", async () => {
    const engine = getEngine();
    const { eventId, channelIds } = await makeEvent(engine, ["u"], 1_000);
    // The channels are taken in groups: a store that is busy for 2 s may answer that it is unavailable.
    for (const batch of batchesOf(channelIds, 100)) {
      await Promise.all(batch.map((channelId) => take(engine, channelId, "u")));
    }
    const { cut, revision } = await pause(engine, eventId);

    expect(cut.map((speaker) => speaker.channelId)).toEqual(channelIds);
    expect(await engine.readPosition(eventId)).toMatchObject({ revision });
    expect(revision).toBe(2);
    expect(await speakersOf(engine, eventId)).toEqual([]);
  });

  test("an event without channels can be paused, and channels that are added later are held back", async () => {
    const engine = getEngine();
    const eventId = freshId("event");
    const channelId = freshId("channel");
    const { pause: paused, cut, revision } = await pause(engine, eventId);
    expect({ cut, revision }).toEqual({ cut: [], revision: 1 });
    await assign(engine, eventId, "u", [channelId]);
    expect(await press(engine, channelId, "u")).toEqual({ granted: false, cause: "retryAfter", pause: paused });
  });

  test("exempt users keep their floors and may take more", async () => {
    const engine = getEngine();
    const { eventId, channelIds } = await makeEvent(engine, ["chief", "u"], 3);
    const [a, b, c] = channelIds as [string, string, string];
    const kept = await take(engine, a, "chief");
    const { speaker } = await take(engine, b, "u");
    const outcome = await pause(engine, eventId, { exemptUserIds: ["chief"] });

    expect(outcome.cut).toEqual([speaker]);
    expect(await press(engine, a, "chief")).toEqual(kept);
    expect(await press(engine, b, "chief")).toMatchObject({ granted: true });
    expect(await press(engine, c, "chief")).toMatchObject({ granted: true });
    expect(await speakersOf(engine, eventId)).toEqual(["chief", "chief", "chief"]);
    const denied = { granted: false, cause: "retryAfter", pause: outcome.pause, holder: kept.speaker };
    expect(await press(engine, a, "u")).toEqual(denied);

    await engine.stopPtt(a, { leaseId: kept.leaseId });
    expect(await engine.getChannelState(a)).toEqual({ eventId });
    expect(await press(engine, a, "u")).toEqual({ granted: false, cause: "retryAfter", pause: outcome.pause });
    await engine.resumeSpeakers(eventId, outcome.pause.pauseId, "admin");
    expect(await speakersOf(engine, eventId)).toEqual(["chief", "chief"]);
  });

  test("an exempt user still needs the channel", async () => {
    const engine = getEngine();
    const { eventId, channelId } = await makeEvent(engine, ["u"]);
    await pause(engine, eventId, { exemptUserIds: ["chief"] });
    expect(await press(engine, channelId, "chief")).toMatchObject({ granted: false, cause: "receiveOnly" });
  });

  test("a broadcaster gets every channel in the same step, including busy ones (pitfalls 21, 22)", async () => {
    const engine = getEngine();
    const { eventId, channelIds } = await makeEvent(engine, ["u", "chief", "dispatcher"], 4);
    const [busy, exempt, own] = channelIds as [string, string, string];
    const { speaker } = await take(engine, busy, "u");
    const { speaker: kept } = await take(engine, exempt, "chief");
    await take(engine, own, "dispatcher");
    const outcome = await pause(engine, eventId, { broadcaster, exemptUserIds: ["chief"] });

    expect(outcome.cut).toEqual([speaker]);
    expect(outcome.pause.broadcaster).toEqual(broadcaster);
    const { speakers } = await engine.getActiveSpeakers(eventId);
    expect(speakers).toEqual(
      channelIds.map((channelId) =>
        channelId === exempt
          ? kept
          : {
              channelId,
              ...broadcaster,
              priority: "emergency",
              startedAtMs: outcome.pause.startedAtMs,
              expiresAtMs: outcome.pause.expiresAtMs,
            },
      ),
    );
    expect(await press(engine, busy, "u")).toMatchObject({ granted: false, cause: "retryAfter", holder: speakers[0] });
  });

  test("a broadcaster gets new channels, and floors that an exempt user releases", async () => {
    const engine = getEngine();
    const { eventId, channelId } = await makeEvent(engine, ["chief"]);
    const { leaseId } = await take(engine, channelId, "chief");
    const { pause: paused } = await pause(engine, eventId, { broadcaster, exemptUserIds: ["chief"] });
    const added = freshId("zchannel");
    await engine.setChannelEvent(added, eventId, "test", false);
    await engine.stopPtt(channelId, { leaseId });

    const { speakers } = await engine.getActiveSpeakers(eventId);
    expect(speakers.map(({ userId, expiresAtMs }) => [userId, expiresAtMs])).toEqual([
      ["dispatcher", paused.expiresAtMs],
      ["dispatcher", paused.expiresAtMs],
    ]);
  });

  test("a resume ends the broadcaster's leases and frees every channel (pitfall 21)", async () => {
    const engine = getEngine();
    const { eventId, channelIds } = await makeEvent(engine, ["u"], 3);
    const { pause: paused } = await pause(engine, eventId, { broadcaster });
    await engine.resumeSpeakers(eventId, paused.pauseId, "admin");

    expect(await engine.getActiveSpeakers(eventId)).toEqual({ speakers: [] });
    for (const channelId of channelIds) await take(engine, channelId, "u");
    expect(await pause(engine, eventId, { broadcaster })).toMatchObject({ cut: [{}, {}, {}] });
  });

  test("listeners of a channel receive the cut, the broadcaster and the end", async () => {
    const engine = getEngine();
    const { eventId, channelId } = await makeEvent(engine, ["u"]);
    const speakers = collect<PublishedSpeaker | undefined>();
    const unfollow = await engine.followChannel(channelId, speakers.listener);
    const { speaker } = await take(engine, channelId, "u");
    await speakers.until(1);
    const cut = await pause(engine, eventId);
    await speakers.until(2);
    await engine.resumeSpeakers(eventId, cut.pause.pauseId, "admin");
    const { pause: paused } = await pause(engine, eventId, { broadcaster });
    await speakers.until(3);
    const { holder } = await engine.getChannelState(channelId);
    await engine.resumeSpeakers(eventId, paused.pauseId, "admin");

    await speakers.until(4);
    expect(holder?.userId).toBe(broadcaster.userId);
    expect(speakers.seen.map(published)).toEqual([speaker, undefined, holder, undefined].map(published));
    unfollow();
  });

  test("listeners receive all of it if JSON escapes the channel's id", async () => {
    const engine = getEngine();
    const eventId = freshId("event");
    const channelIds = ["plain", '"quoted"', "a/b", "a\\b", "Straße 🎤"].map((id) => `${id} ${eventId}`);
    await assign(engine, eventId, "u", channelIds);
    const followed = await Promise.all(
      channelIds.map(async (channelId) => {
        const speakers = collect<PublishedSpeaker | undefined>();
        return { ...speakers, unfollow: await engine.followChannel(channelId, speakers.listener) };
      }),
    );
    const { pause: paused } = await pause(engine, eventId, { broadcaster });
    await engine.resumeSpeakers(eventId, paused.pauseId, "admin");

    for (const { until, seen, unfollow } of followed) {
      await until(2);
      expect(seen.map((speaker) => speaker?.userId)).toEqual([broadcaster.userId, undefined]);
      unfollow();
    }
  });

  test("a duration of 0 cuts without a latch", async () => {
    const engine = getEngine();
    const { eventId, channelId } = await makeEvent(engine, ["u"]);
    const { speaker } = await take(engine, channelId, "u");
    const outcome = await pause(engine, eventId, { durationMs: 0 });

    expect(outcome.cut).toEqual([speaker]);
    expect(outcome.pause.expiresAtMs).toBe(outcome.pause.startedAtMs);
    expect(await engine.getActiveSpeakers(eventId)).toEqual({ speakers: [] });
    expect(await press(engine, channelId, "u")).toMatchObject({ granted: true });
    const resume = engine.resumeSpeakers(eventId, outcome.pause.pauseId, "admin");
    await expectFailure(resume, "failedPrecondition", "is not paused");
    await engine.upholdPause(eventId);
    const kinds = (await readWholeLog(engine, eventId)).map((entry) => entry.kind);
    expect(kinds).toEqual(["membershipChanged", "speakersPaused"]);
  });

  test("a repeat of the request returns the first outcome, also when the pause is over (pitfall 21)", async () => {
    const engine = getEngine();
    const { eventId, channelId } = await makeEvent(engine, ["u"]);
    await take(engine, channelId, "u");
    const first = await pause(engine, eventId, { requestId: "r", broadcaster });
    expect(await pause(engine, eventId, { requestId: "r", broadcaster })).toEqual(first);

    await engine.resumeSpeakers(eventId, first.pause.pauseId, "admin");
    const { speaker } = await take(engine, channelId, "u");
    expect(await pause(engine, eventId, { requestId: "r", broadcaster })).toEqual(first);
    expect(await engine.getActiveSpeakers(eventId)).toEqual({ speakers: [speaker] });
    const next = await pause(engine, eventId, { requestId: "another" });
    expect(next.pause.pauseId).not.toBe(first.pause.pauseId);
  });

  test("a request id of another caller, or with other content, is refused and changes nothing", async () => {
    const engine = getEngine();
    const { eventId, channelId } = await makeEvent(engine, ["u"]);
    const first = await pause(engine, eventId, { requestId: "r", actor: "dora", durationMs: 0 });
    const { speaker } = await take(engine, channelId, "u");
    const logged = await readWholeLog(engine, eventId);
    for (const rest of [
      { actor: "carl" },
      { actor: "dora", reason: "Evacuation" },
      { actor: "dora", exemptUserIds: ["u"] },
      { actor: "dora", durationMs: 60_000 },
    ]) {
      const reused = pause(engine, eventId, { requestId: "r", durationMs: 0, ...rest });
      await expect(reused).rejects.toMatchObject({
        ...{ code: "invalidArgument", reason: "REQUEST_ID_REUSED", metadata: { requestId: "r" } },
      });
    }
    expect(await engine.getActiveSpeakers(eventId)).toEqual({ speakers: [speaker] });
    expect(await readWholeLog(engine, eventId)).toEqual(logged);
    expect(await pause(engine, eventId, { requestId: "r", actor: "dora", durationMs: 0 })).toEqual(first);
  });

  test("repeats at the same time are one pause", async () => {
    const engine = getEngine();
    const { eventId } = await makeEvent(engine, ["u"]);
    const outcomes = await Promise.all([1, 2, 3, 4].map(() => pause(engine, eventId, { requestId: "r" })));
    for (const outcome of outcomes) expect(outcome).toEqual(outcomes[0]);
    expect(await readWholeLog(engine, eventId)).toHaveLength(2);
  });

  test("a second pause is refused, names the first, and changes nothing", async () => {
    const engine = getEngine();
    const { eventId, channelId } = await makeEvent(engine, ["chief"]);
    const first = await pause(engine, eventId, { exemptUserIds: ["chief"], actor: "Ada", requestId: "first" });
    const { speaker } = await take(engine, channelId, "chief");

    for (const rest of [{}, { requestId: "second" }, { durationMs: 0 }, { broadcaster }]) {
      await expectFailure(
        pause(engine, eventId, rest),
        "failedPrecondition",
        `event_id: "${eventId}" is already paused by Ada until ${new Date(first.pause.expiresAtMs).toISOString()}`,
        first.pause.pauseId,
      );
    }
    expect(await engine.getActiveSpeakers(eventId)).toEqual({ speakers: [speaker], pause: first.pause });
    expect(await engine.readPosition(eventId)).toMatchObject({ revision: first.revision });
  });

  test("a resume lifts the latch and is one entry", async () => {
    const engine = getEngine();
    const { eventId, channelId } = await makeEvent(engine, ["u"]);
    const { pause: paused } = await pause(engine, eventId);
    const position = await engine.resumeSpeakers(eventId, paused.pauseId, "Ada");
    expect(position).toEqual({ ...written, revision: 3 });

    expect((await readWholeLog(engine, eventId)).at(-1)).toEqual({
      kind: "speakersResumed",
      pauseId: paused.pauseId,
      expired: false,
      actor: "Ada",
      revision: 3,
      timeMs: expect.any(Number),
      epoch: position.epoch,
    });
    expect((await engine.loadEvent(eventId)).pause).toBeUndefined();
    expect(await press(engine, channelId, "u")).toMatchObject({ granted: true });
  });

  test("only the standing pause can be resumed", async () => {
    const engine = getEngine();
    const { eventId } = await makeEvent(engine, ["u"]);
    const resume = (pauseId: string) => engine.resumeSpeakers(eventId, pauseId, "admin");
    await expectFailure(resume("nothing"), "failedPrecondition", `pause_id: "${eventId}" is not paused`);

    const { pause: paused } = await pause(engine, eventId);
    const texts = [`pause_id: "${eventId}" is paused under ${paused.pauseId}`];
    await expectFailure(resume("another"), "failedPrecondition", ...texts);
    expect((await engine.getActiveSpeakers(eventId)).pause).toEqual(paused);
    await resume(paused.pauseId);
    await expectFailure(resume(paused.pauseId), "failedPrecondition", "is not paused");
  });

  test("an expired pause and its broadcaster's leases no longer block the floor (pitfall 21)", async () => {
    const engine = getEngine();
    const { eventId, channelId } = await makeEvent(engine, ["u"]);
    await pause(engine, eventId, { durationMs: 200, broadcaster });
    expect(await speakersOf(engine, eventId)).toEqual(["dispatcher"]);
    await untilRunOut(engine, eventId);

    expect(await engine.getActiveSpeakers(eventId)).toEqual({ speakers: [] });
    expect((await engine.readUserPermissions(eventId, "u")).pause).toBeUndefined();
    expect((await engine.loadEvent(eventId)).pause).toBeUndefined();
    expect(await press(engine, channelId, "u")).toMatchObject({ granted: true });
  });

  test("a pause right after an expired pause publishes the floors that became free (pitfall 33)", async () => {
    const engine = getEngine();
    const { eventId, channelId } = await makeEvent(engine, ["u"]);
    const news = collect<FloorNews>();
    const unfollow = await engine.followFloor(eventId, news.listener);
    await pause(engine, eventId, { durationMs: 200, broadcaster });
    await untilRunOut(engine, eventId);
    await pause(engine, eventId);

    await news.until(2);
    const publishedChanges = news.seen.flatMap(({ changes }) =>
      changes.map((change) => [change.channelId, change.holder?.userId]),
    );
    expect(publishedChanges).toEqual([
      [channelId, "dispatcher"],
      [channelId, undefined],
    ]);
    unfollow();
  });

  test("an expired pause cannot be resumed", async () => {
    const engine = getEngine();
    const { eventId } = await makeEvent(engine, ["u"]);
    const { pause: paused } = await makeRunOutPause(engine, eventId);
    const resume = engine.resumeSpeakers(eventId, paused.pauseId, "admin");
    await expectFailure(resume, "failedPrecondition", "is not paused");
  });

  test.each<[string, (engine: Engine, eventId: string, channelId: string) => Promise<unknown>]>([
    ["upholdPause", (engine, eventId) => engine.upholdPause(eventId)],
    ["applyMemberships", (engine, eventId) => engine.applyMemberships(eventId, [update("v", [], future(1))])],
    ["setUserChannels", (engine, eventId) => assign(engine, eventId, "v", [])],
    ["setChannelEvent", (engine, eventId) => engine.setChannelEvent(freshId("channel"), eventId, "test", false)],
    ["startPtt", (engine, _, channelId) => press(engine, channelId, "u")],
    ["pauseAllSpeakers", (engine, eventId) => pause(engine, eventId, { durationMs: 0 })],
  ])("the end of an expired pause is announced once, at the latest by %s (pitfall 33)", async (_, write) => {
    const engine = getEngine();
    const { eventId, channelId } = await makeEvent(engine, ["u"]);
    const { pause: paused, revision } = await makeRunOutPause(engine, eventId);
    await write(engine, eventId, channelId);
    await Promise.all([engine.upholdPause(eventId), engine.upholdPause(eventId)]);

    const entries = (await readWholeLog(engine, eventId)).slice(revision);
    expect(entries[0]).toMatchObject({ kind: "speakersResumed", pauseId: paused.pauseId, expired: true });
    expect(entries.filter((entry) => entry.kind === "speakersResumed")).toHaveLength(1);
  });

  test("a pause is published when it is made, and listed until its end is published", async () => {
    const engine = getEngine();
    const [paused, lifted, ended, cut] = await Promise.all([1, 2, 3, 4].map(() => makeEvent(engine, ["u"])));
    const eventIds = [paused, lifted, ended, cut].map((event) => event?.eventId ?? "");
    const received = collect<string>();
    const unfollow = engine.onPause((eventId) => eventIds.includes(eventId) && received.listener(eventId));
    const listed = async () => (await engine.listPausedEvents()).filter((eventId) => eventIds.includes(eventId)).sort();
    const [pausedId = "", liftedId = "", endedId = "", cutId = ""] = eventIds;
    // Waits for each message before the next pause, because messages of different events have no order.
    await pause(engine, pausedId);
    await received.until(1);
    const { pause: second } = await pause(engine, liftedId);
    await received.until(2);
    await makeRunOutPause(engine, endedId);
    await received.until(3);
    await pause(engine, cutId, { durationMs: 0 });
    expect(received.seen).toEqual([pausedId, liftedId, endedId]);
    unfollow();

    await engine.resumeSpeakers(liftedId, second.pauseId, "admin");
    expect(await listed()).toEqual([pausedId, endedId].sort());
    expect(await Promise.all(eventIds.map((eventId) => engine.upholdPause(eventId)))).toEqual([
      true,
      false,
      false,
      false,
    ]);
    expect(await listed()).toEqual([pausedId]);
  });

  test("upholding a pause, or none, publishes nothing and cuts no speaker", async () => {
    const engine = getEngine();
    const { eventId, channelId } = await makeEvent(engine, ["chief"]);
    await engine.upholdPause(eventId);
    const { speaker } = await take(engine, channelId, "chief");
    const { pause: paused, revision } = await pause(engine, eventId, { exemptUserIds: ["chief"] });
    await engine.upholdPause(eventId);

    expect(await engine.readPosition(eventId)).toMatchObject({ revision });
    expect(await engine.getActiveSpeakers(eventId)).toEqual({ speakers: [speaker], pause: paused });
  });
}
