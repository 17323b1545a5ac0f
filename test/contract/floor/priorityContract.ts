import { expect, test } from "vitest";
import { FLOOR_PRIORITIES, outranks } from "../../../src/domain/floor.js";
import type { PublishedSpeaker } from "../../../src/domain/ports/floorStore.js";
import {
  collect,
  expectFailure,
  freshIds,
  type GetEngine,
  makeEvent,
  pause,
  press,
  published,
  take,
} from "../fixtures.js";
import { readRevocations } from "./leaseContract.js";

const pairs = FLOOR_PRIORITIES.flatMap((held) => FLOOR_PRIORITIES.map((asked) => [held, asked] as const));

export function describePriorities(getEngine: GetEngine): void {
  test.each(pairs)("of a holder of priority %s the floor is taken by a higher one alone: %s", async (held, asked) => {
    const engine = getEngine();
    const { eventId, channelId } = await makeEvent(engine, ["u", "v"]);
    const first = await take(engine, channelId, "u", { priority: held });
    const outcome = await press(engine, channelId, "v", { priority: asked, actor: "router:east" });

    if (outranks(asked, held)) {
      expect(outcome).toMatchObject({ granted: true, speaker: { userId: "v", priority: asked } });
      if (outcome.granted) expect(outcome.leaseId).toBeGreaterThan(first.leaseId);
      await expectFailure(engine.renewPtt(channelId, first.leaseId), "failedPrecondition");
      await expectFailure(engine.stopPtt(channelId, { leaseId: first.leaseId }), "failedPrecondition");
      await expectFailure(engine.stopPtt(channelId, { userId: "u", sessionId: "" }), "failedPrecondition");
      const cut = { channelId, userId: "u", cause: "preEmpted", byUserId: "v", actor: "router:east" };
      expect(await readRevocations(engine, eventId)).toEqual([cut]);
      expect((await engine.getChannelState(channelId)).holder).toMatchObject({ userId: "v", priority: asked });
    } else {
      expect(outcome).toEqual({ granted: false, cause: "anotherHasPermission", holder: first.speaker });
      expect(await readRevocations(engine, eventId)).toEqual([]);
      expect((await engine.getChannelState(channelId)).holder).toEqual(first.speaker);
    }
  });

  test("a pre-emption is published as one change of speaker, without a moment of silence (pitfall 22)", async () => {
    const engine = getEngine();
    const { channelId } = await makeEvent(engine, ["u", "v"]);
    const speakers = collect<PublishedSpeaker | undefined>();
    const unfollow = await engine.followChannel(channelId, speakers.listener);
    const first = await take(engine, channelId, "u");
    const second = await take(engine, channelId, "v", { priority: "dispatch" });
    await engine.stopPtt(channelId, { leaseId: second.leaseId });
    await speakers.until(3);
    expect(speakers.seen.map(published)).toEqual([first.speaker, second.speaker, undefined].map(published));
    unfollow();
  });

  test("another device of the same user is outranked like the device of another user (pitfall 13)", async () => {
    const engine = getEngine();
    const { channelId } = await makeEvent(engine, ["u"]);
    await take(engine, channelId, "u", { sessionId: "radio" });
    expect(await press(engine, channelId, "u", { sessionId: "phone" })).toMatchObject({ granted: false });
    const phone = await take(engine, channelId, "u", { sessionId: "phone", priority: "emergency" });
    await expectFailure(engine.stopPtt(channelId, { userId: "u", sessionId: "radio" }), "failedPrecondition");
    await engine.stopPtt(channelId, { leaseId: phone.leaseId });
  });

  test("a holder that repeats its request with a higher priority keeps its lease", async () => {
    const engine = getEngine();
    const { eventId, channelId } = await makeEvent(engine, ["u", "v"]);
    const first = await take(engine, channelId, "u", { sessionId: "radio" });
    const raised = await take(engine, channelId, "u", { sessionId: "radio", priority: "emergency" });
    expect(raised).toEqual({ ...first, speaker: { ...first.speaker, priority: "emergency" } });
    expect(await press(engine, channelId, "u", { sessionId: "radio" })).toEqual(raised);
    expect(await press(engine, channelId, "v", { priority: "imminentPeril" })).toMatchObject({ granted: false });
    expect(await readRevocations(engine, eventId)).toEqual([]);
  });

  test("priority does not replace membership, nor lift a pause (pitfall 3, G5)", async () => {
    const engine = getEngine();
    const { eventId, channelId } = await makeEvent(engine, ["u", "chief"]);
    const { speaker } = await take(engine, channelId, "u");
    const emergency = { priority: "emergency" } as const;
    expect(await press(engine, channelId, "stranger", emergency)).toMatchObject({ cause: "receiveOnly" });
    expect((await engine.getChannelState(channelId)).holder).toEqual(speaker);
    const broadcaster = { userId: "dispatcher", userName: "D" };
    await pause(engine, eventId, { broadcaster, exemptUserIds: ["chief"] });
    expect(await press(engine, channelId, "u", emergency)).toMatchObject({ cause: "retryAfter" });
    // A broadcast has the priority emergency, too.
    expect(await press(engine, channelId, "chief", emergency)).toMatchObject({ cause: "anotherHasPermission" });
  });

  test("G4: of many requests at the same time with all priorities the highest speaks in the end", async () => {
    const engine = getEngine();
    const users = freshIds("user", 32);
    const { eventId, channelId } = await makeEvent(engine, users);
    const presses = users.map((userId, index) => {
      const priority = FLOOR_PRIORITIES[index % 4] ?? "normal";
      return press(engine, channelId, userId, { priority });
    });
    const granted = (await Promise.all(presses)).filter((outcome) => outcome.granted);
    expect(granted.filter(({ speaker }) => speaker.priority === "emergency")).toHaveLength(1);
    expect((await engine.getChannelState(channelId)).holder?.priority).toBe("emergency");
    // All speakers except the last were cut, each once.
    expect(await readRevocations(engine, eventId)).toHaveLength(granted.length - 1);
  });
}
