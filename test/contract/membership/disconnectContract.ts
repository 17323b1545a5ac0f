import { expect, test } from "vitest";
import type { Engine } from "../../../src/domain/ports/engine.js";
import type { PublishedSpeaker } from "../../../src/domain/ports/floorStore.js";
import {
  assign,
  collect,
  followNew,
  freshId,
  type GetEngine,
  makeEvent,
  pause,
  press,
  published,
  readWholeLog,
  take,
} from "../fixtures.js";

function disconnect(engine: Engine, eventId: string, userId: string) {
  return engine.disconnectUser({ eventId, userId, reason: "on fire", actor: "admin" });
}

async function disconnectedAtMs(engine: Engine, eventId: string, userId: string) {
  const { members } = await engine.loadEvent(eventId);
  return members.find((member) => member.userId === userId)?.disconnectedAtMs;
}

export function describeDisconnections(getEngine: GetEngine): void {
  test("a disconnection takes all floors of the user, logs each of them, and then itself", async () => {
    const engine = getEngine();
    const { eventId, channelIds } = await makeEvent(engine, ["u", "v"], 3);
    const [first, second, third] = channelIds as [string, string, string];
    const states = collect<PublishedSpeaker | undefined>();
    const unfollow = await engine.followChannel(first, states.listener);
    const held = [await take(engine, first, "u"), await take(engine, second, "u", { sessionId: "s" })];
    const other = await take(engine, third, "v");
    const followed = await followNew(engine, eventId);

    const { revision } = await disconnect(engine, eventId, "u");
    await followed.until(3);
    followed.unfollow();
    expect(followed.seen).toMatchObject([
      ...held.map(({ leaseId, speaker: { channelId, userId, startedAtMs } }) => ({
        ...{ kind: "floorRevoked", cause: "noPermission", byUserId: "", actor: "admin" },
        ...{ channelId, userId, startedAtMs, leaseId },
      })),
      { kind: "userDisconnected", userId: "u", reason: "on fire", actor: "admin", revision },
    ]);
    await states.until(2);
    unfollow();
    expect(states.seen.map(published)).toEqual([published(held[0]?.speaker), undefined]);
    expect(await engine.getActiveSpeakers(eventId)).toEqual({ speakers: [other.speaker] });
    expect(await engine.endLeases(eventId), "the end of each floor was logged").toMatchObject([{ channelId: third }]);
    expect((await engine.loadEvent(eventId)).revision).toBe(revision);
    expect(await press(engine, first, "u"), "may come back").toMatchObject({ granted: true });
  });

  test("the time of a disconnection is kept through later writes", async () => {
    const engine = getEngine();
    const { eventId, channelIds } = await makeEvent(engine, ["u", "v"]);
    const { revision } = await disconnect(engine, eventId, "u");
    const logged = (await readWholeLog(engine, eventId)).find((entry) => entry.revision === revision);
    expect(await disconnectedAtMs(engine, eventId, "u")).toBe(logged?.timeMs);
    await assign(engine, eventId, "u", []);
    await engine.syncMembers({ eventId, users: [{ userId: "u", channelIds }], actor: "admin" });
    expect(await disconnectedAtMs(engine, eventId, "u")).toBe(logged?.timeMs);
    expect(await disconnectedAtMs(engine, eventId, "v")).toBeUndefined();
    const again = await disconnect(engine, eventId, "u");
    expect(again.revision).toBeGreaterThan(revision);
    expect(await disconnectedAtMs(engine, eventId, "u")).toBeGreaterThanOrEqual(logged?.timeMs ?? 0);
  });

  test("an unknown user is disconnected, and stays unknown", async () => {
    const engine = getEngine();
    const { eventId, channelIds } = await makeEvent(engine, ["v"]);
    await disconnect(engine, eventId, "stranger");
    expect(await disconnectedAtMs(engine, eventId, "stranger")).toBeGreaterThan(0);
    expect(await engine.readUserPermissions(eventId, "stranger")).toMatchObject({ known: false, channelIds: [] });
    expect(await assign(engine, eventId, "stranger", channelIds, true)).toMatchObject({ superseded: false });
    const nowhere = freshId("event");
    expect(await disconnect(engine, nowhere, "stranger")).toMatchObject({ revision: 1 });
  });

  test("G7: a disconnection changes no other event (pitfall 23)", async () => {
    const engine = getEngine();
    const here = await makeEvent(engine, ["u"]);
    const there = await makeEvent(engine, ["u"]);
    const { speaker } = await take(engine, there.channelId, "u");
    const before = await engine.loadEvent(there.eventId);
    await disconnect(engine, here.eventId, "u");
    expect(await engine.loadEvent(there.eventId)).toEqual(before);
    expect(await engine.getActiveSpeakers(there.eventId)).toEqual({ speakers: [speaker] });
  });

  test("G5: the floor of an exempt user who is disconnected goes back to the pause", async () => {
    const engine = getEngine();
    const { eventId, channelId } = await makeEvent(engine, ["u", "v"]);
    const broadcaster = { userId: "d", userName: "D" };
    await take(engine, channelId, "u");
    await pause(engine, eventId, { exemptUserIds: ["u"], broadcaster });
    await disconnect(engine, eventId, "u");
    expect((await engine.getActiveSpeakers(eventId)).speakers).toMatchObject([{ channelId, ...broadcaster }]);
    expect(await press(engine, channelId, "v")).toMatchObject({ cause: "retryAfter" });
  });

  test("G5: a broadcaster who is disconnected is silenced, and the pause stands without a broadcaster", async () => {
    const engine = getEngine();
    const { eventId, channelIds, channelId } = await makeEvent(engine, ["u"], 2);
    const broadcaster = { userId: "d", userName: "D" };
    const { pause: standing } = await pause(engine, eventId, { exemptUserIds: [], broadcaster });
    const { speakers } = await engine.getActiveSpeakers(eventId);
    const { revision } = await disconnect(engine, eventId, "d");
    const { broadcaster: gone, ...rest } = standing;
    expect(gone).toEqual(broadcaster);
    expect(await engine.getActiveSpeakers(eventId)).toEqual({ speakers: [], pause: rest });
    const log = await readWholeLog(engine, eventId);
    expect(log.slice(-2)).toMatchObject([
      { kind: "speakersPaused", pause: rest, cut: channelIds.map((id) => ({ channelId: id, userId: "d" })) },
      { kind: "userDisconnected", userId: "d", revision },
    ]);
    expect(log.at(-2)).toMatchObject({ cut: speakers });
    expect(log.at(-2)).not.toHaveProperty("pause.broadcaster.userId");
    await engine.upholdPause(eventId);
    expect(await engine.getActiveSpeakers(eventId)).toEqual({ speakers: [], pause: rest });
    expect(await press(engine, channelId, "u")).toMatchObject({ cause: "retryAfter" });
    await engine.resumeSpeakers(eventId, standing.pauseId, "admin");
    expect(await press(engine, channelId, "u")).toMatchObject({ granted: true });
  });
}
