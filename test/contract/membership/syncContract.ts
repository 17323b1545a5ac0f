import fc from "fast-check";
import { expect, test } from "vitest";
import type { LogEntry } from "../../../src/domain/change.js";
import type { Engine } from "../../../src/domain/ports/engine.js";
import type { UserChannels } from "../../../src/domain/ports/membershipStore.js";
import { waitFor } from "../../support/waitFor.js";
import {
  assign,
  collect,
  expectFailure,
  freshId,
  freshIds,
  future,
  type GetEngine,
  makeEvent,
  past,
  pause,
  readWholeLog,
  update,
  written,
} from "../fixtures.js";

function sync(engine: Engine, eventId: string, users: Record<string, string[]>) {
  const list = Object.entries(users).map(([userId, channelIds]): UserChannels => ({ userId, channelIds }));
  return engine.syncMembers({ eventId, users: list, actor: "admin" });
}

/** Returns the channels of each user, including users without channels. */
async function channelsOf(engine: Engine, eventId: string): Promise<Record<string, string[]>> {
  const { members } = await engine.loadEvent(eventId);
  return Object.fromEntries(members.map(({ userId, channelIds }) => [userId, channelIds]));
}

async function applyOne(engine: Engine, eventId: string, ...args: Parameters<typeof update>) {
  const [outcome] = await engine.applyMemberships(eventId, [update(...args)]);
  return outcome;
}

export function describeSync(getEngine: GetEngine): void {
  test("a sync replaces the memberships of the whole event, and logs each change", async () => {
    const engine = getEngine();
    const eventId = freshId("event");
    const [a, b] = freshIds("channel", 2) as [string, string];
    for (const userId of ["same", "more", "other", "gone"]) await assign(engine, eventId, userId, [a]);
    await assign(engine, eventId, "long-gone", []);

    const outcome = await sync(engine, eventId, { same: [a], more: [a, b], other: [b], new: [b], none: [] });
    expect(outcome).toEqual({ ...written, revision: 8, changedUsers: 4, revokedUsers: 1 });
    expect(await channelsOf(engine, eventId)).toEqual({
      same: [a],
      more: [a, b],
      other: [b],
      new: [b],
      none: [],
      gone: [],
      "long-gone": [],
    });

    const entries = (await readWholeLog(engine, eventId)).slice(4);
    const change = { kind: "membershipChanged", actor: "admin", action: "sync_event_members" };
    expect(entries).toHaveLength(4);
    expect(entries).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ ...change, userId: "more", channelIds: [a, b], added: [b], removed: [] }),
        expect.objectContaining({ ...change, userId: "other", channelIds: [b], added: [b], removed: [a] }),
        expect.objectContaining({ ...change, userId: "new", channelIds: [b], added: [b], removed: [] }),
        expect.objectContaining({ ...change, userId: "gone", channelIds: [], added: [], removed: [a] }),
      ]),
    );
    const { members } = await engine.loadEvent(eventId);
    for (const { userId, revision } of entries as (LogEntry & { userId: string })[]) {
      expect(members.find((member) => member.userId === userId)?.revision).toBe(revision);
    }
    expect(members.find((member) => member.userId === "same")?.revision).toBe(1);
  });

  test("a repeat changes nothing and returns the same revision", async () => {
    const engine = getEngine();
    const eventId = freshId("event");
    const [a, b] = freshIds("channel", 2) as [string, string];
    const users = { u: [a], v: [a, b], w: [] };
    expect(await sync(engine, eventId, users)).toEqual({ ...written, revision: 2, changedUsers: 2, revokedUsers: 0 });
    expect(await sync(engine, eventId, users)).toEqual({ ...written, revision: 2, changedUsers: 0, revokedUsers: 0 });
    expect(await readWholeLog(engine, eventId)).toHaveLength(2);
  });

  test("a sync without users revokes all users (pitfall 2)", async () => {
    const engine = getEngine();
    const { eventId } = await makeEvent(engine, ["u", "v"], 2);
    expect(await sync(engine, eventId, {})).toEqual({ ...written, revision: 4, changedUsers: 2, revokedUsers: 2 });
    expect(await channelsOf(engine, eventId)).toEqual({ u: [], v: [] });
  });

  test("a sync of an event without writes begins its log", async () => {
    const engine = getEngine();
    const eventId = freshId("event");
    const events = collect<string>();
    // Messages about events of other tests are ignored.
    const unfollow = await engine.followEvents((id) => id === eventId && events.listener(id));
    expect(await sync(engine, eventId, {})).toEqual({ ...written, revision: 0, changedUsers: 0, revokedUsers: 0 });
    await events.until(1);
    expect(events.seen).toEqual([eventId]);
    expect(await engine.listEvents()).toContain(eventId);
    unfollow();
  });

  test("ids may have any form, also that of a list", async () => {
    const engine = getEngine();
    const eventId = freshId("event");
    const odd = [`["a","p":"9-9"]`, "a/b", "a\\", `"`, "Straße 🎤", "%s", "1"].map((id) => `${id} ${eventId}`).sort();
    const users = Object.fromEntries(odd.map((id, index) => [id, odd.slice(index)]));
    expect(await sync(engine, eventId, users)).toMatchObject({ changedUsers: odd.length });
    expect(await channelsOf(engine, eventId)).toEqual(users);
    expect(await sync(engine, eventId, users)).toMatchObject({ changedUsers: 0 });

    // This is the form in which other programs write them.
    for (const userId of odd) await assign(engine, eventId, userId, odd);
    expect(await sync(engine, eventId, Object.fromEntries(odd.map((id) => [id, odd])))).toMatchObject({
      changedUsers: 0,
    });
  });

  test("channels that a sync names are learned as the event's, and held back while it is paused", async () => {
    const engine = getEngine();
    const { eventId, channelId } = await makeEvent(engine, ["u"]);
    const broadcaster = { userId: "d", userName: "d" };
    await pause(engine, eventId, { broadcaster });
    const learned = freshId("channel");
    await sync(engine, eventId, { u: [channelId, learned].sort() });
    expect(await engine.listEventChannels(eventId)).toEqual([channelId, learned].sort());
    expect(await engine.getChannelEvent(learned)).toBe(eventId);
    expect(await engine.getChannelState(learned)).toMatchObject({ holder: { userId: "d" } });
  });

  test("G7: a sync that names another event's channel writes nothing", async () => {
    const engine = getEngine();
    const other = await makeEvent(engine, ["u"]);
    const { eventId, channelId } = await makeEvent(engine, ["u", "v"]);
    const unheardOf = freshId("a-channel");
    const before = await engine.loadEvent(eventId);

    await expectFailure(
      sync(engine, eventId, { w: [unheardOf], u: [channelId, other.channelId].sort() }),
      "failedPrecondition",
      `users: channel "${other.channelId}" of user "u" belongs to another event`,
      "SetChannelEvent",
    );
    expect(await engine.loadEvent(eventId)).toEqual(before);
    expect(await engine.getChannelEvent(unheardOf)).toBeUndefined();
    expect(await engine.listEventChannels(eventId)).toEqual([channelId]);
    // The position floor did not change either: earlier updates still apply.
    expect(await applyOne(engine, eventId, "v", [], past(2))).toMatchObject({ status: "changed" });
  });

  test("G7: a sync of one event does not change its users in another event", async () => {
    const engine = getEngine();
    const quiet = await makeEvent(engine, ["u", "v"]);
    const busy = await makeEvent(engine, ["u", "v"]);
    const before = await engine.loadEvent(quiet.eventId);
    await sync(engine, busy.eventId, {});
    expect(await engine.loadEvent(quiet.eventId)).toEqual(before);
    expect(await applyOne(engine, quiet.eventId, "u", [], past(2))).toMatchObject({ status: "changed" });
  });

  test.each([
    ["whose channels changed", "changed"],
    ["whose channels stayed the same", "same"],
    ["who was revoked", "revoked"],
    ["who was never heard of", "stranger"],
  ])("G6: an update from before a sync is stale for a user %s", async (_, userId) => {
    const engine = getEngine();
    const eventId = freshId("event");
    const [a, b] = freshIds("channel", 2) as [string, string];
    for (const known of ["changed", "same", "revoked"]) await applyOne(engine, eventId, known, [a], past(1));
    await sync(engine, eventId, { changed: [b], same: [a] });
    const before = await engine.loadEvent(eventId);

    expect(await applyOne(engine, eventId, userId, [a, b], past(9, Date.now() - 10_000))).toMatchObject({
      status: "stale",
    });
    expect(await engine.loadEvent(eventId)).toEqual(before);
    expect(await applyOne(engine, eventId, userId, [a, b], future(1))).toMatchObject({ status: "changed" });
  });

  test("G6: a later write over RPC wins over a sync, and a later sync over that", async () => {
    const engine = getEngine();
    const eventId = freshId("event");
    const [a, b] = freshIds("channel", 2) as [string, string];
    await sync(engine, eventId, { u: [a] });
    expect(await assign(engine, eventId, "u", [b])).toMatchObject({ superseded: false, added: [b], removed: [a] });
    expect(await assign(engine, eventId, "v", [b])).toMatchObject({ superseded: false, added: [b] });
    expect(await sync(engine, eventId, { u: [a] })).toEqual({
      ...written,
      revision: 5,
      changedUsers: 2,
      revokedUsers: 1,
    });
    expect(await channelsOf(engine, eventId)).toEqual({ u: [a], v: [] });
  });

  test("G6: a sync wins over all stored writes, also if the counter of the tickets was lost", async () => {
    const engine = getEngine();
    const eventId = freshId("event");
    const [a, b] = freshIds("channel", 2) as [string, string];
    const ahead = past(1, Date.now() + 60_000);
    for (const userId of ["u", "v"]) await applyOne(engine, eventId, userId, [a], ahead);
    expect(await sync(engine, eventId, { u: [b] })).toMatchObject({ changedUsers: 2, revokedUsers: 1 });
    expect(await channelsOf(engine, eventId)).toEqual({ u: [b], v: [] });
    for (const userId of ["u", "v"]) {
      expect(await applyOne(engine, eventId, userId, [a], ahead)).toMatchObject({ status: "stale" });
    }
  });

  test("a user that was revoked, or named without channels, is known and not seeded", async () => {
    const engine = getEngine();
    const { eventId, channelId } = await makeEvent(engine, ["revoked"]);
    await sync(engine, eventId, { none: [] });
    for (const userId of ["revoked", "none"]) {
      expect(await engine.readUserPermissions(eventId, userId)).toMatchObject({ known: true, channelIds: [] });
      expect(await assign(engine, eventId, userId, [channelId], true)).toMatchObject({ superseded: true });
    }
  });

  test("G6: a user whom a sync did not name is not seeded after it", async () => {
    const engine = getEngine();
    const { eventId, channelId } = await makeEvent(engine, []);
    await sync(engine, eventId, {});
    const refused = { ...written, revision: 0, added: [], removed: [], superseded: true };
    expect(await assign(engine, eventId, "stranger", [channelId], true)).toEqual(refused);
    expect(await engine.readUserPermissions(eventId, "stranger")).toMatchObject({ known: false, channelIds: [] });
  });

  test("after concurrent syncs and other writes the state equals the sum of the log", async () => {
    const engine = getEngine();
    const userIds = ["u1", "u2", "u3", "u4"];
    const write = fc.oneof(
      fc.record({
        kind: fc.constant("sync" as const),
        users: fc.dictionary(fc.constantFrom(...userIds), fc.subarray(["a", "b"])),
      }),
      fc.record({
        kind: fc.constant("assign" as const),
        userId: fc.constantFrom(...userIds),
        names: fc.subarray(["a", "b"]),
      }),
    );
    const scenario = fc.asyncProperty(fc.array(write, { minLength: 2, maxLength: 6 }), async (writes) => {
      const eventId = freshId("event");
      const ids = (names: string[]) => names.map((name) => `${name}-${eventId}`);
      await Promise.all(
        writes.map((one) =>
          one.kind === "assign"
            ? assign(engine, eventId, one.userId, ids(one.names))
            : sync(
                engine,
                eventId,
                Object.fromEntries(Object.entries(one.users).map(([userId, names]) => [userId, ids(names)])),
              ),
        ),
      );
      const picture = new Map<string, string[]>();
      for (const entry of await readWholeLog(engine, eventId)) {
        if (entry.kind !== "membershipChanged") throw new Error(`an entry of kind ${entry.kind}`);
        const before = picture.get(entry.userId) ?? [];
        const after = [...before.filter((id) => !entry.removed.includes(id)), ...entry.added].sort();
        expect(entry.channelIds).toEqual(after);
        expect(entry.added.length + entry.removed.length).toBeGreaterThan(0);
        picture.set(entry.userId, after);
      }
      const stored = Object.entries(await channelsOf(engine, eventId)).filter(
        ([, channelIds]) => channelIds.length > 0,
      );
      expect(new Map(stored)).toEqual(new Map([...picture].filter(([, channelIds]) => channelIds.length > 0)));
    });
    await fc.assert(scenario, { numRuns: 40 });
  });

  test("thousands of users at once", async () => {
    const engine = getEngine();
    const eventId = freshId("event");
    const channelIds = freshIds("channel", 100);
    const users = (shift: number) =>
      Object.fromEntries(
        Array.from({ length: 5_000 }, (_, i) => [
          `user-${i + shift}`,
          [0, 1, 2].map((j) => channelIds[(i * 3 + j) % 100] as string).sort(),
        ]),
      );
    expect(await sync(engine, eventId, users(0))).toEqual({
      ...written,
      revision: 5_000,
      changedUsers: 5_000,
      revokedUsers: 0,
    });
    expect(await channelsOf(engine, eventId)).toEqual(users(0));
    expect(await sync(engine, eventId, users(100))).toMatchObject({ revokedUsers: 100 });
    const left = Object.entries(await channelsOf(engine, eventId)).filter(([, ids]) => ids.length > 0);
    expect(Object.fromEntries(left)).toEqual(users(100));
  });

  test("G3: followers of an event receive the newest entry of a sync, and find the others in the log", async () => {
    const engine = getEngine();
    const { eventId, channelIds } = await makeEvent(engine, ["u", "v", "w"]);
    const followed = collect<LogEntry>();
    const unfollow = await engine.follow(eventId, followed.listener);
    await sync(engine, eventId, { x: channelIds });
    const entries = await readWholeLog(engine, eventId);
    expect(entries.map((entry) => entry.revision)).toEqual([1, 2, 3, 4, 5, 6, 7]);
    await waitFor(() => followed.seen.at(-1)?.revision === 7, { message: "the newest entry" });
    expect(followed.seen.at(-1)).toEqual(entries.at(-1));
    unfollow();
  });
}
