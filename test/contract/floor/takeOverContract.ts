import { expect, test } from "vitest";
import type { PauseOutcome } from "../../../src/domain/ports/floorStore.js";
import { expectFailure, freshId, type GetEngine, makeEvent, pause, press, readWholeLog, take } from "../fixtures.js";

const dora = { userId: "dora", userName: "Dora" };
const carl = { userId: "carl", userName: "Carl" };

/** Tests a pause that meets a standing pause. */
export function describeTakeOver(getEngine: GetEngine): void {
  test("two dispatchers at the same time: one wins completely, the other gets the winner's pause (pitfalls 21, 22)", async () => {
    const engine = getEngine();
    const { eventId, channelIds } = await makeEvent(engine, ["u"], 20);
    for (const channelId of channelIds) await take(engine, channelId, "u");
    const attempts = [dora, carl, dora, carl].map(async (broadcaster, index) => {
      const exemptUserIds = [`exempt-${index}`];
      const one = index < 2 ? undefined : freshId("another-pause");
      return pause(engine, eventId, { broadcaster, exemptUserIds, actor: broadcaster.userId, replacePauseId: one });
    });
    const outcomes = await Promise.allSettled(attempts);

    const won = outcomes.flatMap((outcome) => (outcome.status === "fulfilled" ? [outcome.value] : []));
    expect(won).toHaveLength(1);
    const { pause: paused, cut } = won[0] as PauseOutcome;
    expect(cut.map(({ userId }) => userId)).toEqual(channelIds.map(() => "u"));
    const { speakers, pause: standing } = await engine.getActiveSpeakers(eventId);
    expect(standing).toEqual(paused);
    expect(speakers.map(({ userId }) => userId)).toEqual(channelIds.map(() => paused.broadcaster?.userId));
    const until = new Date(paused.expiresAtMs).toISOString();
    const { userId } = paused.broadcaster as typeof dora;
    const denial = `is already paused by ${userId} for ${userId} to speak until ${until} (pause_id ${paused.pauseId})`;
    for (const outcome of outcomes) {
      if (outcome.status === "rejected")
        expect(outcome.reason).toMatchObject({ message: expect.stringContaining(denial) });
    }
    expect(await readWholeLog(engine, eventId)).toHaveLength(2);
  });

  test("a dispatcher who pauses again replaces their own pause, with one entry (pitfall 21)", async () => {
    const engine = getEngine();
    const { eventId, channelIds } = await makeEvent(engine, ["u"], 3);
    const first = await pause(engine, eventId, { broadcaster: dora, exemptUserIds: ["chief"], durationMs: 5_000 });
    const again = await pause(engine, eventId, { broadcaster: dora, actor: "dora", reason: "still burning" });

    expect(again).toMatchObject({ cut: [], replacedPauseId: first.pause.pauseId, revision: first.revision + 1 });
    expect(again.pause).toMatchObject({ reason: "still burning", broadcaster: dora, exemptUserIds: [] });
    expect(again.pause.pauseId).not.toBe(first.pause.pauseId);
    expect(again.pause.expiresAtMs).toBe(again.pause.startedAtMs + 60_000);
    const { speakers } = await engine.getActiveSpeakers(eventId);
    expect(speakers.map(({ userId, expiresAtMs }) => [userId, expiresAtMs])).toEqual(
      channelIds.map(() => ["dora", again.pause.expiresAtMs]),
    );
    expect((await readWholeLog(engine, eventId)).at(-1)).toMatchObject({
      ...{ kind: "speakersPaused", pause: again.pause, cut: [], replacedPauseId: first.pause.pauseId },
    });

    const resumed = engine.resumeSpeakers(eventId, first.pause.pauseId, "dora");
    await expectFailure(resumed, "failedPrecondition", `is paused under ${again.pause.pauseId}`);
    await engine.resumeSpeakers(eventId, again.pause.pauseId, "dora");
    expect(await engine.getActiveSpeakers(eventId)).toEqual({ speakers: [] });
    expect(await press(engine, channelIds[0] as string, "u")).toMatchObject({ granted: true });
  });

  test("another dispatcher takes over by naming the pause: the first broadcaster is cut, exempt or not", async () => {
    const engine = getEngine();
    const { eventId, channelIds } = await makeEvent(engine, ["u", "chief", "aide"], 4);
    const [a, b] = channelIds as [string, string];
    await take(engine, a, "chief");
    await take(engine, b, "aide");
    const exemptUserIds = ["chief", "aide"];
    const first = await pause(engine, eventId, { broadcaster: dora, exemptUserIds });
    const taken = await pause(engine, eventId, {
      ...{ broadcaster: carl, exemptUserIds: ["chief", "dora"], replacePauseId: first.pause.pauseId },
    });

    const cut = taken.cut.map(({ channelId, userId }) => [channelId, userId]);
    expect(cut).toEqual([[b, "aide"], ...channelIds.slice(2).map((channelId) => [channelId, "dora"])]);
    expect(taken.replacedPauseId).toBe(first.pause.pauseId);
    const { speakers, pause: standing } = await engine.getActiveSpeakers(eventId);
    expect(standing).toEqual(taken.pause);
    expect(speakers.map(({ userId }) => userId)).toEqual(["chief", "carl", "carl", "carl"]);
    expect(await press(engine, b, "u")).toMatchObject({ granted: false, cause: "retryAfter", pause: taken.pause });
    await engine.resumeSpeakers(eventId, taken.pause.pauseId, "carl");
    expect((await engine.getActiveSpeakers(eventId)).speakers.map(({ userId }) => userId)).toEqual(["chief"]);
  });

  test("a pause with or without a broadcaster can replace a pause with or without a broadcaster", async () => {
    const engine = getEngine();
    const { eventId, channelIds } = await makeEvent(engine, ["u"], 2);
    const plain = await pause(engine, eventId);
    const voiced = await pause(engine, eventId, { broadcaster: dora, replacePauseId: plain.pause.pauseId });
    expect(voiced).toMatchObject({ cut: [], replacedPauseId: plain.pause.pauseId });
    expect((await engine.getActiveSpeakers(eventId)).speakers).toHaveLength(2);

    const silent = await pause(engine, eventId, { replacePauseId: voiced.pause.pauseId });
    expect(silent.cut.map(({ userId }) => userId)).toEqual(["dora", "dora"]);
    expect(await engine.getActiveSpeakers(eventId)).toEqual({ speakers: [], pause: silent.pause });
    for (const channelId of channelIds) {
      expect(await press(engine, channelId, "u")).toMatchObject({ granted: false, cause: "retryAfter" });
    }
  });

  test("a late take-over does not change a newer pause, and pauses the event if no pause stands", async () => {
    const engine = getEngine();
    const { eventId, channelId } = await makeEvent(engine, ["u"]);
    const first = await pause(engine, eventId, { broadcaster: dora });
    const second = await pause(engine, eventId, { broadcaster: dora });
    for (const broadcaster of [carl, dora]) {
      const late = pause(engine, eventId, { broadcaster, replacePauseId: first.pause.pauseId });
      await expectFailure(late, "failedPrecondition", second.pause.pauseId);
    }
    expect((await engine.getActiveSpeakers(eventId)).pause).toEqual(second.pause);

    await engine.resumeSpeakers(eventId, second.pause.pauseId, "dora");
    await take(engine, channelId, "u");
    const third = await pause(engine, eventId, { broadcaster: carl, replacePauseId: second.pause.pauseId });
    expect(third.cut.map(({ userId }) => userId)).toEqual(["u"]);
    expect(third.replacedPauseId).toBeUndefined();
  });

  test("a retried take-over returns its first outcome, and replaces no other pause", async () => {
    const engine = getEngine();
    const { eventId } = await makeEvent(engine, ["u"]);
    const first = await pause(engine, eventId, { broadcaster: dora, requestId: "first" });
    const request = { broadcaster: carl, replacePauseId: first.pause.pauseId, requestId: "second" };
    const taken = await pause(engine, eventId, request);
    expect(await pause(engine, eventId, request)).toEqual(taken);
    expect(await pause(engine, eventId, { broadcaster: dora, requestId: "first" })).toEqual(first);
    expect((await engine.getActiveSpeakers(eventId)).pause).toEqual(taken.pause);
  });
}
