import { expect, test } from "vitest";
import type { LogEntry } from "../../../src/domain/change.js";
import { batchesOf } from "../../../src/lib/batchesOf.js";
import {
  assign,
  collect,
  followNew,
  freshId,
  freshIds,
  future,
  type GetEngine,
  makeEvent,
  past,
  pause,
  readWholeLog,
  take,
  update,
} from "../fixtures.js";

const byRevision = (a: LogEntry, b: LogEntry) => a.revision - b.revision;

/** A log of exactly that many changes. */
async function makeLog(getEngine: GetEngine, length: number) {
  const eventId = freshId("event");
  const users = freshIds("user", length);
  const channelId = freshId("channel");
  for (const batch of batchesOf(users, 1_000)) {
    const updates = batch.map((userId) => update(userId, [channelId], past(1)));
    await getEngine().applyMemberships(eventId, updates);
  }
  const { epoch } = await getEngine().loadEvent(eventId);
  return { eventId, epoch };
}

export function describeLog(getEngine: GetEngine): void {
  test("an event without writes gets an epoch, revision 0 and an empty picture (pitfall 26)", async () => {
    const engine = getEngine();
    const eventId = freshId("event");

    expect(await engine.readPosition(eventId)).toBeUndefined();
    expect(await engine.readLog(eventId, { epoch: "another", revision: 0 }, 10)).toBeUndefined();
    const state = await engine.loadEvent(eventId);
    expect(state).toEqual({ epoch: expect.stringMatching(/./), revision: 0, members: [] });

    expect((await engine.loadEvent(eventId)).epoch).toBe(state.epoch);
    expect(await engine.readPosition(eventId)).toEqual({ epoch: state.epoch, revision: 0 });
    expect(await engine.readLog(eventId, { epoch: state.epoch, revision: 0 }, 10)).toEqual([]);
  });

  test("epochs of two events differ", async () => {
    const engine = getEngine();
    const first = await engine.loadEvent(freshId("event"));
    expect((await engine.loadEvent(freshId("event"))).epoch).not.toBe(first.epoch);
  });

  test("G2: changes of every kind share contiguous revisions from 1, one epoch, and a clock", async () => {
    const engine = getEngine();
    const before = Date.now();
    const { eventId, channelId } = await makeEvent(engine, ["u"]);
    await assign(engine, eventId, "u", [channelId, freshId("other")]);
    const { pause: paused } = await pause(engine, eventId);
    await engine.resumeSpeakers(eventId, paused.pauseId, "admin");
    await take(engine, channelId, "u");
    await engine.setChannelEvent(channelId, freshId("event"), "test", false);

    const entries = await readWholeLog(engine, eventId);
    expect(entries.map(({ revision, kind, actor }) => [revision, kind, actor])).toEqual([
      [1, "membershipChanged", "control-plane"],
      [2, "membershipChanged", "admin"],
      [3, "speakersPaused", "admin"],
      [4, "speakersResumed", "admin"],
      [5, "floorRevoked", "test"],
    ]);
    const { epoch, revision } = await engine.loadEvent(eventId);
    expect(revision).toBe(5);
    expect(new Set(entries.map((entry) => entry.epoch))).toEqual(new Set([epoch]));
    const times = entries.map((entry) => entry.timeMs);
    expect(times).toEqual(times.toSorted((a, b) => a - b));
    expect(times[0]).toBeGreaterThanOrEqual(before - 1_000);
    expect(times.at(-1)).toBeLessThanOrEqual(Date.now() + 1_000);
  });

  test("G2: concurrent writes get contiguous revisions, a different one for each", async () => {
    const engine = getEngine();
    const eventId = freshId("event");
    const channelId = freshId("channel");
    const users = freshIds("user", 50);
    const outcomes = await Promise.all(users.map((userId) => assign(engine, eventId, userId, [channelId])));

    const revisions = outcomes.map((outcome) => outcome.revision).sort((a, b) => a - b);
    expect(revisions).toEqual(users.map((_, index) => index + 1));
    const entries = await readWholeLog(engine, eventId);
    expect(entries.map((entry) => entry.revision)).toEqual(revisions);
  });

  test("reading after a cursor gives what follows, at most `limit`, and nothing at the end", async () => {
    const engine = getEngine();
    const { eventId, epoch } = await makeLog(getEngine, 5);
    const read = async (revision: number, limit: number) =>
      (await engine.readLog(eventId, { epoch, revision }, limit))?.map((entry) => entry.revision);

    expect(await read(0, 2)).toEqual([1, 2]);
    expect(await read(2, 2)).toEqual([3, 4]);
    expect(await read(4, 2)).toEqual([5]);
    expect(await read(5, 2)).toEqual([]);
  });

  test("reading back from a revision gives the newest entries up to it, and fewer at the beginning of the log", async () => {
    const engine = getEngine();
    const { eventId, epoch } = await makeLog(getEngine, 5);
    const readBack = async (revision: number, limit: number) =>
      (await engine.readLogBack(eventId, { epoch, revision }, limit))?.map((entry) => entry.revision);

    expect(await readBack(5, 2)).toEqual([4, 5]);
    expect(await readBack(3, 2)).toEqual([2, 3]);
    expect(await readBack(3, 100)).toEqual([1, 2, 3]);
    expect(await readBack(0, 2)).toEqual([]);
    expect(await readBack(6, 2)).toEqual([]);
    expect(await engine.readLogBack(eventId, { epoch: "another", revision: 3 }, 2)).toBeUndefined();
    expect(await engine.readLogBack(freshId("event"), { epoch, revision: 3 }, 2)).toBeUndefined();
  });

  test("an epoch is not renewed for a change that the store has", async () => {
    const engine = getEngine();
    const { eventId, epoch } = await makeLog(getEngine, 3);
    const [entry] = (await engine.readLogBack(eventId, { epoch, revision: 3 }, 1)) ?? [];

    await engine.renewEpoch(eventId, { epoch, revision: 3, timeMs: entry?.timeMs });
    await engine.renewEpoch(eventId, { epoch, revision: 2 });
    await engine.renewEpoch(eventId, { epoch: "another", revision: 100 });
    expect(await engine.readPosition(eventId)).toEqual({ epoch, revision: 3 });
  });

  test("a cursor of another epoch, or ahead of the log, is refused (pitfall 24)", async () => {
    const engine = getEngine();
    const { eventId, epoch } = await makeLog(getEngine, 3);

    expect(await engine.readLog(eventId, { epoch: "another", revision: 1 }, 10)).toBeUndefined();
    expect(await engine.readLog(eventId, { epoch: "another", revision: 3 }, 10)).toBeUndefined();
    expect(await engine.readLog(eventId, { epoch, revision: 4 }, 10)).toBeUndefined();
    expect(await engine.readLog(freshId("event"), { epoch, revision: 1 }, 10)).toBeUndefined();
  });

  test("a cursor that the bounded log no longer reaches is refused, newer ones are served (pitfall 24)", async () => {
    const engine = getEngine();
    const length = 12_000;
    const { eventId, epoch } = await makeLog(getEngine, length);

    expect(await engine.readPosition(eventId)).toEqual({ epoch, revision: length });
    expect(await engine.readLog(eventId, { epoch, revision: 0 }, 10)).toBeUndefined();
    const kept = await engine.readLog(eventId, { epoch, revision: length - 10_000 }, 100_000);
    expect(kept?.map((entry) => entry.revision)).toEqual(Array.from({ length: 10_000 }, (_, i) => length - 9_999 + i));
    const last = { epoch, revision: length - 9_990 };
    expect((await engine.readLogBack(eventId, last, 10))?.map((entry) => entry.revision)).toEqual(
      Array.from({ length: 10 }, (_, i) => length - 9_999 + i),
    );
  });

  test("the loaded state equals the sum of the log", async () => {
    const engine = getEngine();
    const { eventId, channelIds } = await makeEvent(engine, ["u1", "u2"], 3);
    const [a, b, c] = channelIds as [string, string, string];
    await engine.applyMemberships(eventId, [
      update("u1", [b], past(2)),
      update("u2", [], past(3)),
      update("u3", [a, c], past(4)),
    ]);

    const { revision, members } = await engine.loadEvent(eventId);
    expect(revision).toBe(5);
    expect(members.toSorted((x, y) => (x.userId < y.userId ? -1 : 1))).toEqual([
      { userId: "u1", channelIds: [b], revision: 3 },
      { userId: "u2", channelIds: [], revision: 4 },
      { userId: "u3", channelIds: [a, c], revision: 5 },
    ]);
  });

  test("G3: a follower is called once for everything that is appended", async () => {
    const engine = getEngine();
    const { eventId, channelId } = await makeEvent(engine, ["early"]);
    const followed = await followNew(engine, eventId);
    await Promise.all(freshIds("user", 20).map((userId) => assign(engine, eventId, userId, [channelId])));
    const { pause: paused } = await pause(engine, eventId);
    await engine.resumeSpeakers(eventId, paused.pauseId, "admin");

    await followed.until(22);
    const entries = await readWholeLog(engine, eventId);
    expect(followed.seen.toSorted(byRevision)).toEqual(entries.slice(1));
    followed.unfollow();
  });

  test("a follower that has unsubscribed is not called, the others are", async () => {
    const engine = getEngine();
    const eventId = freshId("event");
    const [gone, stays] = [collect<LogEntry>(), collect<LogEntry>()];
    const unfollowGone = await engine.follow(eventId, gone.listener);
    const unfollow = await engine.follow(eventId, stays.listener);
    unfollowGone();
    unfollowGone();
    await assign(engine, eventId, "u", [freshId("channel")]);

    await stays.until(1);
    expect(gone.seen).toEqual([]);
    unfollow();
  });

  test("a follower that throws does not affect others", async () => {
    const engine = getEngine();
    const eventId = freshId("event");
    const followed = collect<LogEntry>();
    const unfollows = [
      await engine.follow(eventId, () => {
        throw new Error("a defect of the listener");
      }),
      await engine.follow(eventId, followed.listener),
    ];
    await assign(engine, eventId, "u", [freshId("channel")]);
    await assign(engine, eventId, "u", []);

    await followed.until(2);
    expect(followed.seen.map((entry) => entry.revision)).toEqual([1, 2]);
    for (const unfollow of unfollows) unfollow();
  });

  test("each call that creates an event lists it and calls back once", async () => {
    const engine = getEngine();
    const followed = collect<string>();
    // Events of other tests, from just before, may still be announced.
    const unfollow = await engine.followEvents((eventId) => {
      if (eventId === last || eventIds.includes(eventId)) followed.listener(eventId);
    });
    const last = freshId("event");
    const makers: ((eventId: string) => Promise<unknown>)[] = [
      (eventId) => engine.loadEvent(eventId),
      (eventId) => engine.applyMemberships(eventId, [update("u", [], future(1))]),
      (eventId) => assign(engine, eventId, "u", []),
      (eventId) => engine.setChannelEvent(freshId("channel"), eventId, "test", false),
      (eventId) => pause(engine, eventId),
    ];
    const eventIds = freshIds("event", makers.length);
    for (const [index, make] of makers.entries()) {
      await make(eventIds[index] as string);
      await engine.loadEvent(eventIds[index] as string);
    }

    await followed.until(makers.length);
    // One more event is created last, so that a superfluous call would arrive before it.
    await engine.loadEvent(last);
    await followed.until(makers.length + 1);
    expect(followed.seen.toSorted()).toEqual([...eventIds, last].sort());
    expect(await engine.listEvents()).toEqual(expect.arrayContaining([...eventIds, last]));
    unfollow();
  });

  test("every id and text is returned unchanged", async () => {
    const engine = getEngine();
    const tail = freshId("");
    const names = ["0", "007", "1e3", "__proto__", "constructor", "*[a]?", `"quoted" \\ and: ü, 漢字, 😀`];
    const channelIds = names.map((name) => name + tail).sort();
    const eventId = `:"event" ${tail}`;
    await engine.applyMemberships(
      eventId,
      names.map((name) => ({
        ...update(name, channelIds, past(1)),
        action: `"a" \\ \n ${name}`,
        actor: `"b" \\ \t ${name}`,
      })),
    );

    const entries = await readWholeLog(engine, eventId);
    for (const [index, name] of names.entries()) {
      expect(entries[index]).toMatchObject({
        userId: name,
        channelIds,
        added: channelIds,
        removed: [],
        action: `"a" \\ \n ${name}`,
        actor: `"b" \\ \t ${name}`,
      });
      expect((await engine.readUserPermissions(eventId, name)).channelIds).toEqual(channelIds);
      expect(await engine.getChannelEvent(name + tail)).toBe(eventId);
    }
    expect(await engine.listEvents()).toContain(eventId);
  });
}
