import { expect, test } from "vitest";
import type { EventLimits } from "../../../src/domain/eventLimits.js";
import type { Engine } from "../../../src/domain/ports/engine.js";
import { assign, expectFailure, freshId, freshIds, type GetEngine, makeEvent, past, update } from "../fixtures.js";

/** The limits of the engines in `describeLimits`. */
export const SMALL_LIMITS: EventLimits = { maxUsersPerEvent: 3, maxChannelsPerUser: 2, logLength: 100 };

const USERS = ["u0", "u1", "u2"];

function sync(engine: Engine, eventId: string, users: Record<string, string[]>) {
  const list = Object.entries(users).map(([userId, channelIds]) => ({ userId, channelIds }));
  return engine.syncMembers({ eventId, users: list, actor: "admin" });
}

/** Asserts that a write fails for that reason, and changes neither members nor the owners of channels. */
async function expectRefused(
  engine: Engine,
  eventId: string,
  unheardOf: string,
  write: () => Promise<unknown>,
  limit: string,
) {
  const before = await engine.loadEvent(eventId);
  await expectFailure(write(), "resourceExhausted", `--max-${limit.replaceAll("_", "-")}`);
  await expect(write()).rejects.toMatchObject({ limit });
  expect(await engine.loadEvent(eventId)).toEqual(before);
  expect(await engine.getChannelEvent(unheardOf)).toBeUndefined();
}

/** Tests the limits of an engine with {@link SMALL_LIMITS}. */
export function describeLimits(getEngine: GetEngine): void {
  test("a new user of a full event is refused, in a write and in a seed; nothing is written", async () => {
    const engine = getEngine();
    const { eventId } = await makeEvent(engine, USERS);
    const unheardOf = freshId("channel");
    for (const isSeed of [false, true]) {
      const write = () => assign(engine, eventId, "new", [unheardOf], isSeed);
      await expectRefused(engine, eventId, unheardOf, write, "users_per_event");
    }
  });

  test("a published update of a new user of a full event is left out and reported, and the rest of its batch is applied", async () => {
    const engine = getEngine();
    const { eventId, channelId } = await makeEvent(engine, USERS.slice(0, 2));
    const unheardOf = freshId("channel");
    const outcomes = await engine.applyMemberships(eventId, [
      update("u2", [channelId], past(2)),
      update("new", [unheardOf], past(3)),
      update("u0", [], past(4)),
    ]);
    expect(outcomes.map(({ status, revision, overLimit }) => ({ status, revision, overLimit }))).toEqual([
      { status: "changed", revision: 3, overLimit: undefined },
      { status: "unchanged", revision: 0, overLimit: "users_per_event" },
      { status: "changed", revision: 4, overLimit: undefined },
    ]);
    expect(await engine.readUserPermissions(eventId, "new")).toMatchObject({ known: false, channelIds: [] });
    expect(await engine.listEventChannels(eventId)).toEqual([channelId]);
  });

  test("in a full event every known user can be changed, revoked and granted again", async () => {
    const engine = getEngine();
    const { eventId, channelId } = await makeEvent(engine, USERS);
    const other = freshId("channel");
    expect(await assign(engine, eventId, "u0", [other])).toMatchObject({ added: [other], removed: [channelId] });
    expect(await assign(engine, eventId, "u1", [])).toMatchObject({ removed: [channelId] });
    expect(await assign(engine, eventId, "u1", [channelId])).toMatchObject({ added: [channelId] });
  });

  test("in a full event the empty list of an unknown user is kept, so that no seed follows a revocation", async () => {
    const engine = getEngine();
    const { eventId, channelId } = await makeEvent(engine, USERS);
    const outcomes = await engine.applyMemberships(eventId, [update("revoked", [], past(2))]);
    expect(outcomes).toMatchObject([{ status: "unchanged" }]);
    expect(await assign(engine, eventId, "revoked", [channelId], true)).toMatchObject({ superseded: true, added: [] });
  });

  test("a sync that would make an event too large changes nothing; a sync without new users is applied", async () => {
    const engine = getEngine();
    const { eventId, channelId } = await makeEvent(engine, USERS);
    const unheardOf = freshId("channel");
    const tooMany = () => sync(engine, eventId, { u0: [channelId], new: [unheardOf] });
    await expectRefused(engine, eventId, unheardOf, tooMany, "users_per_event");
    expect(await sync(engine, eventId, { u0: [channelId] })).toMatchObject({ changedUsers: 2, revokedUsers: 2 });
  });

  test("a list that is too long is refused over RPC and in a sync; nothing is written", async () => {
    const engine = getEngine();
    const { eventId } = await makeEvent(engine, ["u0"]);
    const three = freshIds("channel", 3);
    const unheardOf = three[0] as string;
    const writes = [
      () => assign(engine, eventId, "u0", three),
      () => assign(engine, eventId, "new", three),
      () => assign(engine, eventId, "new", three, true),
      () => assign(engine, eventId, "u0", freshIds("channel", 2_001)),
      () => sync(engine, eventId, { u0: three }),
    ];
    for (const write of writes) await expectRefused(engine, eventId, unheardOf, write, "channels_per_user");
  });

  test("a published list that is too long revokes the channels that it does not name, and grants none (pitfall 1)", async () => {
    const engine = getEngine();
    const { eventId, channelIds } = await makeEvent(engine, ["u0"], 2);
    const [kept, lost] = channelIds as [string, string];
    const long = [kept, ...freshIds("other", 2)].sort();
    const outcomes = await engine.applyMemberships(eventId, [
      update("u0", long, past(2)),
      update("new", long, past(3)),
      update("u0", freshIds("other", 2_500), past(4)),
    ]);
    expect(outcomes).toEqual([
      {
        status: "changed",
        revision: 2,
        added: [],
        removed: [lost],
        foreignChannelIds: [],
        overLimit: "channels_per_user",
      },
      {
        status: "unchanged",
        revision: 0,
        added: [],
        removed: [],
        foreignChannelIds: [],
        overLimit: "channels_per_user",
      },
      {
        status: "changed",
        revision: 3,
        added: [],
        removed: [kept],
        foreignChannelIds: [],
        overLimit: "channels_per_user",
      },
    ]);
    expect(await engine.readUserPermissions(eventId, "u0")).toMatchObject({ channelIds: [] });
    expect(await engine.listEventChannels(eventId)).toEqual(channelIds);
  });

  test("G6: a list that is too long and older than the present one changes nothing", async () => {
    const engine = getEngine();
    const { eventId, channelIds } = await makeEvent(engine, ["u0"], 2);
    const outcomes = await engine.applyMemberships(eventId, [update("u0", freshIds("other", 3), past(1))]);
    expect(outcomes).toMatchObject([{ status: "stale" }]);
    expect(await engine.readUserPermissions(eventId, "u0")).toMatchObject({ channelIds });
  });

  test("the log keeps about as many changes as configured", async () => {
    const engine = getEngine();
    const { eventId, channelId } = await makeEvent(engine, ["u0"]);
    const toggles = Array.from({ length: 400 }, (_, index) =>
      update("u0", index % 2 ? [channelId] : [], past(index + 2)),
    );
    await engine.applyMemberships(eventId, toggles);
    const { epoch, revision } = await engine.loadEvent(eventId);
    expect(revision).toBe(401);
    expect(await engine.readLog(eventId, { epoch, revision: revision - SMALL_LIMITS.logLength }, 1_000)).toHaveLength(
      100,
    );
    expect(await engine.readLog(eventId, { epoch, revision: 100 }, 1_000)).toBeUndefined();
  });
}
