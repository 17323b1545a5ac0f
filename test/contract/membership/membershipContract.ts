import fc from "fast-check";
import { expect, test } from "vitest";
import { comparePositions } from "../../../src/domain/cursor.js";
import type { Engine } from "../../../src/domain/ports/engine.js";
import type { MembershipUpdate } from "../../../src/domain/ports/membershipStore.js";
import { batchesOf } from "../../../src/lib/batchesOf.js";
import {
  assign,
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

async function applyOne(engine: Engine, eventId: string, ...args: Parameters<typeof update>) {
  const [outcome] = await engine.applyMemberships(eventId, [update(...args)]);
  return outcome;
}

// Updates of one user at different positions, and an order in which each is delivered twice.
const deliveries = fc
  .uniqueArray(
    fc.record({
      position: fc.record({ generation: fc.integer({ min: 1, max: 4 }), count: fc.nat(3) }),
      channelNames: fc.subarray(["a", "b", "c", "d"]),
    }),
    { minLength: 1, maxLength: 8, comparator: (x, y) => comparePositions(x.position, y.position) === 0 },
  )
  .chain((updates) => {
    const twice = [...updates, ...updates];
    return fc.record({
      order: fc.shuffledSubarray(twice, { minLength: twice.length }),
      batchSize: fc.integer({ min: 1, max: twice.length }),
      atOnce: fc.boolean(),
    });
  });

async function expectNewestWon(engine: Engine, eventId: string, updates: readonly MembershipUpdate[]): Promise<void> {
  const newest = updates.toSorted((a, b) => comparePositions(a.position, b.position)).at(-1);
  const { channelIds, known } = await engine.readUserPermissions(eventId, "u");
  expect({ channelIds, known }).toEqual({ channelIds: newest?.channelIds, known: true });

  // The log adds up to the final list, and each entry is the difference to the one before.
  let picture: string[] = [];
  for (const entry of await readWholeLog(engine, eventId)) {
    if (entry.kind !== "membershipChanged") throw new Error(`an entry of kind ${entry.kind}`);
    expect(entry.added.length + entry.removed.length).toBeGreaterThan(0);
    expect(picture).toEqual(expect.arrayContaining(entry.removed));
    picture = [...picture.filter((id) => !entry.removed.includes(id)), ...entry.added].sort();
    expect(entry.channelIds).toEqual(picture);
  }
  expect(picture).toEqual(channelIds);
}

export function describeMemberships(getEngine: GetEngine): void {
  test("of two administrators who saw the same revision only the first writes", async () => {
    const engine = getEngine();
    const { eventId, channelIds } = await makeEvent(engine, ["u"], 2);
    const [a, b] = channelIds as [string, string];
    const { userRevision, channelIds: seen } = await engine.readUserPermissions(eventId, "u");
    expect([userRevision, seen]).toEqual([1, channelIds]);
    const write = { eventId, userId: "u", action: "set", onlyIfUnknown: false, ifRevision: userRevision };
    const first = await engine.setUserChannels({ ...write, channelIds: [a], actor: "dora" });
    expect(first).toMatchObject({ revision: 2, removed: [b], superseded: false });
    const second = engine.setUserChannels({ ...write, channelIds: [b], actor: "carl" });
    await expect(second).rejects.toMatchObject({ reason: "REVISION_CHANGED", metadata: { revision: "2" } });
    expect(await engine.readUserPermissions(eventId, "u")).toMatchObject({ channelIds: [a], userRevision: 2 });

    const ofNew = { ...write, userId: freshId("new"), ifRevision: 0, channelIds: [a], actor: "carl" };
    expect(await engine.setUserChannels(ofNew)).toMatchObject({ revision: 3, epoch: first.epoch });
    await expect(engine.setUserChannels({ ...ofNew, channelIds: [] })).rejects.toMatchObject({
      metadata: { revision: "3" },
    });
  });

  test("an update is one change with the full list and the difference", async () => {
    const engine = getEngine();
    const eventId = freshId("event");
    const [a, b, c] = freshIds("channel", 3) as [string, string, string];

    expect(await applyOne(engine, eventId, "u", [a, b], past(1))).toEqual({
      status: "changed",
      revision: 1,
      added: [a, b],
      removed: [],
      foreignChannelIds: [],
    });
    expect(await applyOne(engine, eventId, "u", [b, c], past(2))).toEqual({
      status: "changed",
      revision: 2,
      added: [c],
      removed: [a],
      foreignChannelIds: [],
    });

    const { epoch } = await engine.loadEvent(eventId);
    expect((await readWholeLog(engine, eventId))[1]).toEqual({
      kind: "membershipChanged",
      epoch,
      revision: 2,
      timeMs: expect.any(Number),
      actor: "control-plane",
      action: "set_user_channels",
      userId: "u",
      channelIds: [b, c],
      added: [c],
      removed: [a],
    });
    const permissions = await engine.readUserPermissions(eventId, "u");
    expect(permissions).toEqual({ position: { epoch, revision: 2 }, channelIds: [b, c], known: true, userRevision: 2 });
  });

  test("a user that was never written is unknown", async () => {
    const engine = getEngine();
    const { eventId } = await makeEvent(engine, ["somebody"]);
    const position = await engine.readPosition(eventId);
    const nothing = { channelIds: [], known: false, userRevision: 0 };

    expect(await engine.readUserPermissions(eventId, "u")).toEqual({ position, ...nothing });
    const nowhere = await engine.readUserPermissions(freshId("event"), "u");
    expect(nowhere).toEqual(nothing);
  });

  test("a user's permissions carry the standing pause", async () => {
    const engine = getEngine();
    const { eventId } = await makeEvent(engine, ["u"]);
    const { pause: paused, revision } = await pause(engine, eventId);
    expect(await engine.readUserPermissions(eventId, "u")).toMatchObject({ pause: paused, position: { revision } });
  });

  test.each([
    ["the same position", past(5, 5)],
    ["a lower count", past(4, 5)],
    ["a lower generation with a higher count", past(9, 4)],
  ])("G6: a write at %s is stale and changes nothing", async (_, position) => {
    const engine = getEngine();
    const eventId = freshId("event");
    const [channelId, unheardOf] = freshIds("channel", 2) as [string, string];
    await applyOne(engine, eventId, "u", [channelId], past(5, 5));
    const before = await engine.loadEvent(eventId);

    expect(await applyOne(engine, eventId, "u", [unheardOf], position)).toEqual({
      status: "stale",
      revision: 1,
      added: [],
      removed: [],
      foreignChannelIds: [],
    });
    expect(await engine.loadEvent(eventId)).toEqual(before);
    expect(await engine.getChannelEvent(unheardOf)).toBeUndefined();
  });

  test.each([
    ["a higher count", past(6, 5)],
    ["a higher generation with a lower count", past(0, 6)],
  ])("G6: a write at %s applies", async (_, position) => {
    const engine = getEngine();
    const { eventId, channelId } = await makeEvent(engine, []);
    await applyOne(engine, eventId, "u", [channelId], past(5, 5));
    expect(await applyOne(engine, eventId, "u", [], position)).toMatchObject({
      status: "changed",
      removed: [channelId],
    });
  });

  test("G6: positions are kept per user", async () => {
    const engine = getEngine();
    const { eventId, channelId } = await makeEvent(engine, []);
    await applyOne(engine, eventId, "u1", [channelId], past(9, 9));
    expect(await applyOne(engine, eventId, "u2", [channelId], past(1))).toMatchObject({ status: "changed" });
  });

  test("G6: a write without a difference makes no revision, but raises the position", async () => {
    const engine = getEngine();
    const eventId = freshId("event");
    const channelId = freshId("channel");
    await applyOne(engine, eventId, "other", [channelId], past(1));
    await applyOne(engine, eventId, "u", [channelId], past(1));

    expect(await applyOne(engine, eventId, "u", [channelId], past(5))).toEqual({
      status: "unchanged",
      revision: 2,
      added: [],
      removed: [],
      foreignChannelIds: [],
    });
    expect(await engine.readPosition(eventId)).toMatchObject({ revision: 2 });
    expect(await applyOne(engine, eventId, "u", [], past(3))).toMatchObject({ status: "stale" });
  });

  test("G6: an empty list for an unknown user leaves an entry with its position", async () => {
    const engine = getEngine();
    const eventId = freshId("event");

    expect(await applyOne(engine, eventId, "u", [], past(5))).toMatchObject({ status: "unchanged", revision: 0 });
    expect(await engine.readUserPermissions(eventId, "u")).toMatchObject({
      known: true,
      channelIds: [],
      position: { revision: 0 },
    });
    expect((await engine.loadEvent(eventId)).members).toEqual([{ userId: "u", channelIds: [], revision: 0 }]);
    expect(await applyOne(engine, eventId, "u", [freshId("channel")], past(4))).toMatchObject({ status: "stale" });
  });

  test("the last channel is revoked by an empty list, and the user stays known (pitfall 2)", async () => {
    const engine = getEngine();
    const { eventId, channelId } = await makeEvent(engine, ["u"]);

    const outcome = await applyOne(engine, eventId, "u", [], past(5));
    expect(outcome).toMatchObject({ status: "changed", removed: [channelId] });
    expect(await engine.readUserPermissions(eventId, "u")).toMatchObject({ known: true, channelIds: [] });
    expect((await engine.loadEvent(eventId)).members).toEqual([{ userId: "u", channelIds: [], revision: 2 }]);
    expect(await applyOne(engine, eventId, "u", [channelId], past(4))).toMatchObject({ status: "stale", revision: 2 });
  });

  test("a batch is applied in its order with one outcome for each update", async () => {
    const engine = getEngine();
    const eventId = freshId("event");
    const [a, b] = freshIds("channel", 2) as [string, string];
    const outcomes = await engine.applyMemberships(eventId, [
      update("u", [a], past(1)),
      update("v", [b], past(2)),
      update("u", [b], past(3)),
      update("u", [a], past(2)),
      update("v", [b], past(4)),
    ]);

    expect(outcomes.map(({ status, revision }) => [status, revision])).toEqual([
      ["changed", 1],
      ["changed", 2],
      ["changed", 3],
      ["stale", 3],
      ["unchanged", 2],
    ]);
    expect((await engine.readUserPermissions(eventId, "u")).channelIds).toEqual([b]);
    expect(await engine.applyMemberships(eventId, [])).toEqual([]);
  });

  test("a user may have 2,000 channels", async () => {
    const engine = getEngine();
    const { eventId, channelIds } = await makeEvent(engine, ["u"], 2_000);
    expect((await engine.readUserPermissions(eventId, "u")).channelIds).toEqual(channelIds);
    expect(await engine.listEventChannels(eventId)).toEqual(channelIds);
    expect(await assign(engine, eventId, "v", channelIds)).toMatchObject({ added: channelIds, revision: 2 });
  });

  test("channels that an update names are learned as the event's (pitfall 17)", async () => {
    const engine = getEngine();
    const { eventId, channelIds } = await makeEvent(engine, ["u"], 2);
    expect(await engine.listEventChannels(eventId)).toEqual(channelIds);
    expect(await engine.getChannelEvent(channelIds[1] as string)).toBe(eventId);
  });

  test("G7: a channel of another event in an update is ignored and reported, and stays in its event", async () => {
    const engine = getEngine();
    const other = await makeEvent(engine, ["u"]);
    const eventId = freshId("event");
    const channelId = freshId("channel");

    expect(await applyOne(engine, eventId, "u", [other.channelId, channelId].sort(), past(1))).toEqual({
      status: "changed",
      revision: 1,
      added: [channelId],
      removed: [],
      foreignChannelIds: [other.channelId],
    });
    expect(await engine.getChannelEvent(other.channelId)).toBe(other.eventId);
    expect(await engine.listEventChannels(eventId)).toEqual([channelId]);
    expect(await applyOne(engine, eventId, "v", [other.channelId], past(1))).toEqual({
      status: "unchanged",
      revision: 0,
      added: [],
      removed: [],
      foreignChannelIds: [other.channelId],
    });
  });

  test("an update for one event does not change the user's channels in another (pitfall 4)", async () => {
    const engine = getEngine();
    const first = await makeEvent(engine, ["u"]);
    const second = await makeEvent(engine, ["u"]);
    await applyOne(engine, second.eventId, "u", [], past(9));
    expect((await engine.readUserPermissions(first.eventId, "u")).channelIds).toEqual(first.channelIds);
  });

  test("a write over RPC returns what it changed, and a repeat returns the same revision", async () => {
    const engine = getEngine();
    const eventId = freshId("event");
    const [a, b] = freshIds("channel", 2) as [string, string];
    await assign(engine, eventId, "other", [a]);

    const done = { ...written, revision: 2, added: [a, b], removed: [], superseded: false };
    expect(await assign(engine, eventId, "u", [a, b])).toEqual(done);
    expect(await assign(engine, eventId, "u", [a, b])).toEqual({ ...done, added: [] });
    expect(await assign(engine, eventId, "u", [])).toEqual({
      ...written,
      revision: 3,
      added: [],
      removed: [a, b],
      superseded: false,
    });
    expect(await engine.getChannelEvent(b)).toBe(eventId);
    const entries = await readWholeLog(engine, eventId);
    expect(entries).toHaveLength(3);
    expect(entries[1]).toMatchObject({ kind: "membershipChanged", action: "assigned", actor: "admin", userId: "u" });
  });

  test("G7: a write over RPC that names another event's channel writes nothing", async () => {
    const engine = getEngine();
    const other = await makeEvent(engine, []);
    await engine.setChannelEvent(other.channelId, other.eventId, "test", false);
    const { eventId, channelId } = await makeEvent(engine, ["u"]);
    const unheardOf = freshId("a-channel");
    const before = await engine.loadEvent(eventId);

    const write = assign(engine, eventId, "u", [unheardOf, other.channelId].sort());
    await expectFailure(
      write,
      "failedPrecondition",
      `channel_ids: channel "${other.channelId}" belongs to another event`,
      "SetChannelEvent",
    );
    expect(await engine.loadEvent(eventId)).toEqual(before);
    expect(await engine.getChannelEvent(unheardOf)).toBeUndefined();
    expect(await engine.listEventChannels(eventId)).toEqual([channelId]);
  });

  test("only_if_unknown seeds a user once, and never after a revocation", async () => {
    const engine = getEngine();
    const eventId = freshId("event");
    const [a, b] = freshIds("channel", 2) as [string, string];

    const seeded = await assign(engine, eventId, "u", [a], true);
    expect(seeded).toEqual({ ...written, revision: 1, added: [a], removed: [], superseded: false });
    const superseded = { ...written, revision: 1, added: [], removed: [], superseded: true };
    expect(await assign(engine, eventId, "u", [a, b], true)).toEqual(superseded);
    expect(await engine.getChannelEvent(b)).toBeUndefined();
    await assign(engine, eventId, "u", []);
    expect(await assign(engine, eventId, "u", [a], true)).toEqual({ ...superseded, revision: 2 });
    await applyOne(engine, eventId, "v", [], past(1));
    expect(await assign(engine, eventId, "v", [a], true)).toEqual({ ...superseded, revision: 0 });
    expect((await engine.readUserPermissions(eventId, "v")).channelIds).toEqual([]);
  });

  test("G6: a seed loses to every published update, also to one that is applied later", async () => {
    const engine = getEngine();
    const eventId = freshId("event");
    const [a, b] = freshIds("channel", 2) as [string, string];
    for (const userId of ["revoked", "reassigned"]) await assign(engine, eventId, userId, [a], true);
    // Both were published long before, and waited in the queue of a replica.
    expect(await applyOne(engine, eventId, "revoked", [], past(1))).toMatchObject({ status: "changed", removed: [a] });
    expect(await applyOne(engine, eventId, "reassigned", [b], past(2))).toMatchObject({ status: "changed" });
    expect(await assign(engine, eventId, "revoked", [a], true)).toMatchObject({ superseded: true, revision: 3 });
  });

  test("G6: a write over RPC wins over earlier updates, and loses to later ones", async () => {
    const engine = getEngine();
    const eventId = freshId("event");
    const [a, b, c] = freshIds("channel", 3) as [string, string, string];
    await applyOne(engine, eventId, "u", [a], past(1));

    expect(await assign(engine, eventId, "u", [b])).toMatchObject({ superseded: false, added: [b], removed: [a] });
    expect(await applyOne(engine, eventId, "u", [a], past(2))).toMatchObject({ status: "stale" });
    expect(await applyOne(engine, eventId, "u", [c], future(1))).toMatchObject({ status: "changed", added: [c] });
  });

  test("G6: of several writes over RPC the one with the highest revision stands", async () => {
    const engine = getEngine();
    const eventId = freshId("event");
    const channelIds = freshIds("channel", 20);
    const outcomes = await Promise.all(channelIds.map((channelId) => assign(engine, eventId, "u", [channelId])));

    const last = outcomes.findIndex((outcome) => outcome.revision === channelIds.length);
    expect((await engine.readUserPermissions(eventId, "u")).channelIds).toEqual([channelIds[last]]);
    expect(outcomes.filter((outcome) => outcome.superseded)).toEqual([]);
  });

  test("G6: updates in any order and any batches, each delivered twice, end with the newest", async () => {
    const engine = getEngine();
    const scenario = fc.asyncProperty(deliveries, async ({ order, batchSize, atOnce }) => {
      const eventId = freshId("event");
      const updates = order.map(({ position, channelNames }) =>
        update(
          "u",
          channelNames.map((name) => `${name}-${eventId}`),
          position,
        ),
      );
      const running: Promise<unknown>[] = [];
      for (const batch of batchesOf(updates, batchSize)) {
        running.push(engine.applyMemberships(eventId, batch));
        if (!atOnce) await running.at(-1);
      }
      await Promise.all(running);
      await expectNewestWon(engine, eventId, updates);
    });
    await fc.assert(scenario, { numRuns: 60 });
  });
}
