import { expect, test } from "vitest";
import type { Engine } from "../../../src/domain/ports/engine.js";
import { waitFor } from "../../support/waitFor.js";
import {
  collect,
  expectFailure,
  freshId,
  type GetEngine,
  makeEvent,
  pause,
  press,
  readWholeLog,
  take,
} from "../fixtures.js";

function ban(engine: Engine, eventId: string, userId: string, durationMs?: number) {
  return engine.banUser({ eventId, userId, reason: "noise", actor: "admin", durationMs });
}

/** A new event with one channel and a user that no other test bans. */
async function makeUser(engine: Engine) {
  const userId = freshId("user");
  return { userId, ...(await makeEvent(engine, [userId])) };
}

async function readBanChanges(engine: Engine, eventId: string) {
  const changes = await readWholeLog(engine, eventId);
  return changes.filter(({ kind }) => ["userBanned", "userUnbanned", "userDisconnected"].includes(kind));
}

export function describeBans(getEngine: GetEngine): void {
  test("a ban takes the user's floor, disconnects, and denies every press until it is lifted", async () => {
    const engine = getEngine();
    const { userId, eventId, channelId } = await makeUser(engine);
    await take(engine, channelId, userId);
    const { ban: written, revision } = await ban(engine, eventId, userId);
    expect(written).toEqual({ userId, reason: "noise", bannedBy: "admin", bannedAtMs: expect.any(Number) });
    expect((await readWholeLog(engine, eventId)).slice(-3)).toMatchObject([
      { kind: "userBanned", ban: written, actor: "admin" },
      { kind: "floorRevoked", channelId, userId, cause: "noPermission", actor: "admin" },
      { kind: "userDisconnected", userId, reason: "noise", actor: "admin", revision },
    ]);
    expect(await engine.listBans(eventId)).toContainEqual(written);
    expect((await engine.readUserPermissions(eventId, userId)).ban).toEqual(written);
    expect(await press(engine, channelId, userId)).toMatchObject({
      granted: false,
      cause: "receiveOnly",
      ban: written,
    });
    await pause(engine, eventId, { broadcaster: { userId: "d", userName: "D" } });
    expect(await press(engine, channelId, userId, { priority: "emergency" })).toMatchObject({
      ...{ cause: "receiveOnly", ban: written, holder: { userId: "d" }, pause: { reason: "fire" } },
    });

    const lifted = await engine.unbanUser(eventId, userId, "chief");
    const [end] = (await readBanChanges(engine, eventId)).slice(-1);
    expect(end).toMatchObject({
      kind: "userUnbanned",
      userId,
      expired: false,
      actor: "chief",
      revision: lifted.revision,
      epoch: lifted.epoch,
    });
    expect((await engine.readUserPermissions(eventId, userId)).ban).toBeUndefined();
    expect(await engine.listBans(eventId)).not.toContainEqual(expect.objectContaining({ userId }));
    expect(await press(engine, channelId, userId)).toMatchObject({ cause: "retryAfter" });
    await expectFailure(engine.unbanUser(eventId, userId, "chief"), "failedPrecondition", "user_id:", userId);
    expect(await engine.settleBans(eventId)).toBeUndefined();
  });

  test("pitfall 33: the end of an expired ban is published once, and then the user may speak", async () => {
    const engine = getEngine();
    const { userId, eventId, channelId } = await makeUser(engine);
    const { ban: written } = await ban(engine, eventId, userId, 400);
    expect(written.expiresAtMs).toBe((written.bannedAtMs ?? 0) + 400);
    const remainingMs = await engine.settleBans(eventId);
    expect(remainingMs).toBeGreaterThan(0);
    expect(remainingMs).toBeLessThanOrEqual(400);
    expect(await press(engine, channelId, userId)).toMatchObject({ ban: written });
    await waitFor(async () => (await press(engine, channelId, userId)).granted, { message: "the ban to end" });
    expect(await Promise.all([engine.settleBans(eventId), engine.settleBans(eventId)])).toEqual([undefined, undefined]);
    expect(await readBanChanges(engine, eventId)).toMatchObject([
      { kind: "userBanned" },
      { kind: "userDisconnected" },
      { kind: "userUnbanned", userId, expired: true, actor: "" },
    ]);
    expect(await engine.listBans(eventId)).not.toContainEqual(expect.objectContaining({ userId }));
    await expectFailure(engine.unbanUser(eventId, userId, "admin"), "failedPrecondition");
  });

  test("a ban replaces the standing ban of the user; bans are listed by their end", async () => {
    const engine = getEngine();
    const [{ userId, eventId }, late] = [await makeUser(engine), freshId("user")];
    await ban(engine, eventId, late, 7_200_000);
    await ban(engine, eventId, userId);
    const { ban: written } = await ban(engine, eventId, userId, 3_600_000);
    const own = (await engine.listBans(eventId)).filter((one) => [userId, late].includes(one.userId));
    expect(own).toEqual([written, expect.objectContaining({ userId: late })]);
    expect(await engine.settleBans(eventId)).toBeGreaterThan(3_500_000);
    await engine.unbanUser(eventId, userId, "admin");
    await engine.unbanUser(eventId, late, "admin");
  });

  test("followers of bans receive each new and each lifted ban", async () => {
    const engine = getEngine();
    const { userId, eventId } = await makeUser(engine);
    const news = collect<void>();
    const unfollow = await engine.followBans(eventId, () => news.listener());
    await ban(engine, eventId, userId, 60_000);
    await news.until(1);
    await engine.unbanUser(eventId, userId, "admin");
    await news.until(2);
    unfollow();
  });

  test("a ban holds within its scope; another event that knows the user logs it separately", async () => {
    const engine = getEngine();
    const { userId, eventId } = await makeUser(engine);
    const [there, elsewhere] = [await makeEvent(engine, [userId]), await makeEvent(engine, ["v"])];
    const { speaker } = await take(engine, there.channelId, userId);
    const before = await engine.loadEvent(elsewhere.eventId);
    const { ban: written } = await ban(engine, eventId, userId, 60_000);
    const changesThere = () => readBanChanges(engine, there.eventId);
    expect(await changesThere()).toEqual([]);
    await engine.settleBans(elsewhere.eventId);
    expect(await engine.loadEvent(elsewhere.eventId)).toEqual(before);

    if (engine.banScope === "event") {
      expect(await engine.settleBans(there.eventId)).toBeUndefined();
      expect(await changesThere()).toEqual([]);
      expect(await engine.getActiveSpeakers(there.eventId)).toEqual({ speakers: [speaker] });
      expect(await press(engine, there.channelId, userId)).toMatchObject({ granted: true });
      expect(await engine.listBans(there.eventId)).toEqual([]);
      await expectFailure(engine.unbanUser(there.eventId, userId, "admin"), "failedPrecondition");
      await engine.unbanUser(eventId, userId, "admin");
      return;
    }
    expect(await press(engine, there.channelId, userId)).toMatchObject({ granted: false, ban: written });
    expect(await engine.settleBans(there.eventId)).toBeGreaterThan(0);
    await engine.settleBans(there.eventId);
    expect(await engine.getActiveSpeakers(there.eventId)).toEqual({ speakers: [] });
    expect(await changesThere()).toMatchObject([
      { kind: "userBanned", ban: written, actor: "" },
      { kind: "userDisconnected", userId, reason: "noise", actor: "" },
    ]);
    await engine.unbanUser(eventId, userId, "admin");
    await engine.settleBans(there.eventId);
    expect((await changesThere()).at(-1)).toMatchObject({ kind: "userUnbanned", expired: false, actor: "" });
  });

  test("a banned user cannot be broadcaster, and a pause that names that user changes nothing", async () => {
    const engine = getEngine();
    const { userId, eventId, channelId } = await makeUser(engine);
    const broadcaster = { userId, userName: "Dora" };
    const { revision } = await ban(engine, eventId, userId);
    await expectFailure(
      pause(engine, eventId, { broadcaster }),
      "failedPrecondition",
      `broadcaster.user_id: "${userId}" is banned`,
    );
    expect(await engine.getActiveSpeakers(eventId)).toEqual({ speakers: [] });
    expect(await engine.readPosition(eventId)).toMatchObject({ revision });

    await engine.unbanUser(eventId, userId, "admin");
    await pause(engine, eventId, { broadcaster });
    expect((await engine.getActiveSpeakers(eventId)).speakers).toMatchObject([{ channelId, userId }]);
  });

  test("a ban from another event silences a broadcaster, member or not", async () => {
    const engine = getEngine();
    if (engine.banScope === "event") return;
    const { eventId } = await makeEvent(engine, ["u"]);
    const there = await makeEvent(engine, ["u"]);
    const userId = freshId("dispatcher");
    const { pause: paused } = await pause(engine, there.eventId, { broadcaster: { userId, userName: "Dora" } });
    await ban(engine, eventId, userId);
    await engine.settleBans(there.eventId);

    expect(await engine.getActiveSpeakers(there.eventId)).toMatchObject({
      ...{ speakers: [], pause: { pauseId: paused.pauseId } },
    });
    expect(await readBanChanges(engine, there.eventId)).toMatchObject([
      { kind: "userBanned", ban: { userId } },
      { kind: "userDisconnected", userId },
    ]);
    await engine.unbanUser(eventId, userId, "admin");
  });
}
