import { expect, test } from "vitest";
import type { PublishedSpeaker } from "../../../src/domain/ports/floorStore.js";
import {
  collect,
  expectFailure,
  followNew,
  freshId,
  freshIds,
  type GetEngine,
  makeEvent,
  past,
  press,
  published,
  readWholeLog,
  take,
  update,
} from "../fixtures.js";

export function describeChannelIndex(getEngine: GetEngine): void {
  test("a channel is found from its event and the event from its channel (pitfall 17)", async () => {
    const engine = getEngine();
    const eventId = freshId("event");
    const [a, b, c] = freshIds("channel", 3) as [string, string, string];
    expect(await engine.getChannelEvent(a)).toBeUndefined();
    expect(await engine.listEventChannels(eventId)).toEqual([]);

    for (const channelId of [c, a, b]) {
      expect(await engine.setChannelEvent(channelId, eventId, "test", false)).toBeUndefined();
    }
    expect(await engine.listEventChannels(eventId)).toEqual([a, b, c]);
    expect(await engine.getChannelEvent(b)).toBe(eventId);
  });

  test("associating a channel with its own event again changes nothing", async () => {
    const engine = getEngine();
    const { eventId, channelId } = await makeEvent(engine, ["u"]);
    const { speaker } = await take(engine, channelId, "u");
    const before = await engine.loadEvent(eventId);

    expect(await engine.setChannelEvent(channelId, eventId, "test", false)).toBe(eventId);
    expect(await engine.setChannelEvent(channelId, eventId, "test", true)).toBe(eventId);
    expect(await engine.loadEvent(eventId)).toEqual(before);
    expect((await engine.getChannelState(channelId)).holder).toEqual(speaker);
  });

  test("a moved channel is in its new event only", async () => {
    const engine = getEngine();
    const { eventId, channelIds } = await makeEvent(engine, ["u"], 2);
    const [moved, stays] = channelIds as [string, string];
    const target = freshId("event");

    expect(await engine.setChannelEvent(moved, target, "test", false)).toBe(eventId);
    expect(await engine.getChannelEvent(moved)).toBe(target);
    expect(await engine.listEventChannels(target)).toEqual([moved]);
    expect(await engine.listEventChannels(eventId)).toEqual([stays]);
    expect(await engine.readPosition(eventId)).toMatchObject({ revision: 1 });
  });

  test("only_if_unassigned does not change a channel of another event or its floor", async () => {
    const engine = getEngine();
    const { eventId, channelId } = await makeEvent(engine, ["u"]);
    const { speaker } = await take(engine, channelId, "u");

    const move = engine.setChannelEvent(channelId, freshId("event"), "test", true);
    await expectFailure(move, "failedPrecondition", "channel_id:", channelId);
    expect(await engine.getChannelState(channelId)).toEqual({ eventId, holder: speaker });
    const unassigned = freshId("channel");
    expect(await engine.setChannelEvent(unassigned, eventId, "test", true)).toBeUndefined();
    expect(await engine.getChannelEvent(unassigned)).toBe(eventId);
  });

  test("G7: moving a channel cuts its speaker, and notifies the old event and the listeners", async () => {
    const engine = getEngine();
    const { eventId, channelId } = await makeEvent(engine, ["u"]);
    const speakers = collect<PublishedSpeaker | undefined>();
    const entries = await followNew(engine, eventId);
    const unfollow = await engine.followChannel(channelId, speakers.listener);
    const { leaseId, speaker } = await take(engine, channelId, "u");
    const target = freshId("event");
    await engine.setChannelEvent(channelId, target, "test", false);

    await Promise.all([speakers.until(2), entries.until(1)]);
    expect(speakers.seen.map(published)).toEqual([published(speaker), undefined]);
    expect(entries.seen).toEqual([
      expect.objectContaining({
        kind: "floorRevoked",
        revision: 2,
        channelId,
        userId: speaker.userId,
        cause: "noPermission",
        byUserId: "",
      }),
    ]);
    expect(await readWholeLog(engine, target)).toEqual([]);
    expect((await engine.getActiveSpeakers(eventId)).speakers).toEqual([]);
    expect(await engine.getChannelState(channelId)).toEqual({ eventId: target });
    await expectFailure(engine.stopPtt(channelId, { leaseId }), "failedPrecondition");
    expect(await press(engine, channelId, "u")).toMatchObject({ granted: false, cause: "receiveOnly" });
    entries.unfollow();
    unfollow();
  });

  test("moving a channel without a speaker does not change the old event", async () => {
    const engine = getEngine();
    const { eventId, channelId } = await makeEvent(engine, ["u"]);
    await engine.setChannelEvent(channelId, freshId("event"), "test", false);
    expect(await readWholeLog(engine, eventId)).toHaveLength(1);
  });

  test("concurrent associations of one channel end in exactly one event", async () => {
    const engine = getEngine();
    const channelId = freshId("channel");
    const eventIds = freshIds("event", 10);
    const previous = await Promise.all(
      eventIds.map((eventId) => engine.setChannelEvent(channelId, eventId, "test", false)),
    );

    const owner = await engine.getChannelEvent(channelId);
    expect(eventIds).toContain(owner);
    for (const eventId of eventIds) {
      expect(await engine.listEventChannels(eventId)).toEqual(eventId === owner ? [channelId] : []);
    }
    // The channel left each owner except the last one once.
    expect([...previous.filter((id) => id !== undefined), owner].sort()).toEqual(eventIds);
  });

  test("G4: lease ids of a channel rise across a move", async () => {
    const engine = getEngine();
    // A broadcast on many channels runs the lease ids of the first event ahead of the clock.
    const { eventId, channelId } = await makeEvent(engine, ["u"], 2_000);
    const broadcaster = { userId: "dispatcher", userName: "Dispatcher" };
    const request = { eventId, reason: "", actor: "admin", durationMs: 60_000, exemptUserIds: [], requestId: "" };
    const { pause } = await engine.pauseAllSpeakers({ ...request, broadcaster });
    await engine.resumeSpeakers(eventId, pause.pauseId, "admin");
    const before = await take(engine, channelId, "u");

    const target = freshId("event");
    await engine.setChannelEvent(channelId, target, "test", false);
    await engine.applyMemberships(target, [update("u", [channelId], past(1))]);
    const after = await take(engine, channelId, "u");
    expect(after.leaseId).toBeGreaterThan(before.leaseId);
  });
}
