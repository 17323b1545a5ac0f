import { expect, test } from "vitest";
import {
  assign,
  expectFailure,
  followNew,
  freshId,
  type GetEngine,
  makeEvent,
  pause,
  press,
  readWholeLog,
  take,
} from "../fixtures.js";

export function describeIsolation(getEngine: GetEngine): void {
  test("G7: no change of one event is visible in another", async () => {
    const engine = getEngine();
    const quiet = await makeEvent(engine, ["u", "v"]);
    const { speaker } = await take(engine, quiet.channelId, "u");
    const before = await engine.loadEvent(quiet.eventId);
    const followed = await followNew(engine, quiet.eventId);

    const busy = await makeEvent(engine, ["u", "v"]);
    await take(engine, busy.channelId, "u");
    await assign(engine, busy.eventId, "u", []);
    const { pause: paused, cut } = await pause(engine, busy.eventId, { requestId: "r" });
    expect(cut.map((one) => one.channelId)).toEqual([busy.channelId]);
    await engine.resumeSpeakers(busy.eventId, paused.pauseId, "admin");

    expect(await engine.loadEvent(quiet.eventId)).toEqual(before);
    expect(await engine.getActiveSpeakers(quiet.eventId)).toEqual({ speakers: [speaker] });
    expect(await engine.listEventChannels(quiet.eventId)).toEqual([quiet.channelId]);
    await assign(engine, quiet.eventId, "v", []);
    await followed.until(1);
    expect(followed.seen).toEqual((await readWholeLog(engine, quiet.eventId)).slice(-1));
    followed.unfollow();
  });

  test("G7: a pause holds back its own event only", async () => {
    const engine = getEngine();
    const paused = await makeEvent(engine, ["u"]);
    const other = await makeEvent(engine, ["u"]);
    await pause(engine, paused.eventId);
    expect(await press(engine, paused.channelId, "u")).toMatchObject({ granted: false });
    expect(await press(engine, other.channelId, "u")).toMatchObject({ granted: true });
  });

  test("G7: pause ids and request ids mean nothing in another event", async () => {
    const engine = getEngine();
    const [first, second] = [freshId("event"), freshId("event")];
    const here = await pause(engine, first, { requestId: "r" });
    const there = await pause(engine, second, { requestId: "r" });

    expect(there.pause.pauseId).not.toBe(here.pause.pauseId);
    const resume = engine.resumeSpeakers(second, here.pause.pauseId, "admin");
    await expectFailure(resume, "failedPrecondition", "pause_id:", there.pause.pauseId);
    expect((await engine.getActiveSpeakers(first)).pause).toEqual(here.pause);
    expect((await engine.getActiveSpeakers(second)).pause).toEqual(there.pause);
  });

  test("G7: a lease of one event's channel does not release another's", async () => {
    const engine = getEngine();
    const first = await makeEvent(engine, ["u"]);
    const second = await makeEvent(engine, ["u"]);
    const here = await take(engine, first.channelId, "u");
    await engine.stopPtt(first.channelId, { leaseId: here.leaseId });
    let there = await take(engine, second.channelId, "u");
    // Two events may use the same number in the same millisecond. Then this proves nothing.
    if (there.leaseId === here.leaseId) {
      await engine.stopPtt(second.channelId, { leaseId: there.leaseId });
      there = await take(engine, second.channelId, "u");
    }
    await expectFailure(engine.stopPtt(second.channelId, { leaseId: here.leaseId }), "failedPrecondition");
    expect((await engine.getChannelState(second.channelId)).holder).toEqual(there.speaker);
  });
}
