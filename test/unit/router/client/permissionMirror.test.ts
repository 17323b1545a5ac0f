import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  ChangeSchema,
  GetUserPermissionsResponseSchema,
  SnapshotReason,
  SnapshotSchema,
} from "../../../../gen/squelch/v1/permission_service_pb.js";
import type { Notice } from "../../../../src/router/client/permissionEvents.js";
import { PermissionMirror, WatchViolation } from "../../../../src/router/client/permissionMirror.js";

const E1 = "epoch-1";
const E2 = "epoch-2";

function snapshot(users: Record<string, string[]>, extra: Partial<MessageInitShape<typeof SnapshotSchema>> = {}) {
  const list = Object.entries(users).map(([userId, channelIds]) => ({ userId, channelIds }));
  return create(SnapshotSchema, {
    eventId: "e",
    users: list,
    reason: SnapshotReason.INITIAL,
    ...extra,
  } as MessageInitShape<typeof SnapshotSchema>);
}

function membership(revision: number, userId: string, channelIds: string[]) {
  const value = { userId, channelIds, action: "set_user_channels" };
  return create(ChangeSchema, { revision: BigInt(revision), kind: { case: "membershipChanged", value } });
}

function paused(revision: number, pauseId: string) {
  const pause = { pauseId, actor: "ann", startedAt: timestampFromMs(1_000), expiresAt: timestampFromMs(61_000) };
  return create(ChangeSchema, { revision: BigInt(revision), kind: { case: "speakersPaused", value: { pause } } });
}

function resumed(revision: number, pauseId: string) {
  return create(ChangeSchema, { revision: BigInt(revision), kind: { case: "speakersResumed", value: { pauseId } } });
}

function answer(epoch: string, revision: number, channelIds: string[], known = true) {
  const cursor = { eventId: "e", epoch, revision: BigInt(revision) };
  return create(GetUserPermissionsResponseSchema, { channelIds, cursor, known });
}

const names = (notices: Notice[]) => notices.map(({ name }) => name);
const firstOf = (notices: Notice[], name: Notice["name"]) =>
  notices.find((notice) => notice.name === name)?.arguments[0];

function mirrorAt(revision: number, users: Record<string, string[]>) {
  const mirror = new PermissionMirror();
  mirror.applySnapshot(snapshot(users), { epoch: E1, revision });
  return mirror;
}

describe("a snapshot", () => {
  it("emits its differences as the same events as changes", () => {
    const mirror = mirrorAt(5, { gains: ["a"], loses: ["a", "b"], stays: ["a"], goes: ["c"] });
    const notices = mirror.applySnapshot(snapshot({ gains: ["a", "b"], loses: [], stays: ["a"], comes: ["d"] }), {
      epoch: E1,
      revision: 9,
    });
    expect(notices.filter(({ name }) => name === "change").map((notice) => notice.arguments[0])).toEqual([
      {
        eventId: "e",
        userId: "gains",
        channelIds: ["a", "b"],
        added: ["b"],
        removed: [],
        action: "snapshot",
        revision: 9,
      },
      {
        eventId: "e",
        userId: "loses",
        channelIds: [],
        added: [],
        removed: ["a", "b"],
        action: "snapshot",
        revision: 9,
      },
      { eventId: "e", userId: "comes", channelIds: ["d"], added: ["d"], removed: [], action: "snapshot", revision: 9 },
      { eventId: "e", userId: "goes", channelIds: [], added: [], removed: ["c"], action: "snapshot", revision: 9 },
    ]);
    expect(names(notices).filter((name) => name === "revoked")).toHaveLength(2);
    expect(mirror.channelIds("e", "goes")).toBeUndefined();
    expect(mirror.channelIds("e", "loses")).toEqual([]);
    expect(mirror.cursor("e")).toEqual({ eventId: "e", epoch: E1, revision: 9 });
  });

  it("emits a pause that began, was replaced or ended meanwhile", () => {
    const mirror = mirrorAt(1, {});
    const pause = (pauseId: string) => ({
      pause: { pauseId, startedAt: timestampFromMs(1_000), expiresAt: timestampFromMs(61_000) },
    });
    expect(names(mirror.applySnapshot(snapshot({}, pause("p1")), { epoch: E1, revision: 2 }))).toContain("paused");
    expect(mirror.pause("e")?.pauseId).toBe("p1");
    expect(names(mirror.applySnapshot(snapshot({}, pause("p1")), { epoch: E1, revision: 3 }))).toEqual(["resynced"]);
    expect(names(mirror.applySnapshot(snapshot({}, pause("p2")), { epoch: E1, revision: 4 }))).toEqual([
      "resumed",
      "paused",
      "resynced",
    ]);
    const notices = mirror.applySnapshot(snapshot({}), { epoch: E1, revision: 5 });
    expect(firstOf(notices, "resumed")).toMatchObject({ pauseId: "p2", expired: true, pause: { pauseId: "p2" } });
    expect(mirror.pause("e")).toBeUndefined();
  });

  it("disconnects sockets that are older than a disconnection in it, once", () => {
    const mirror = mirrorAt(1, { u: ["a"] });
    const users = [{ userId: "u", channelIds: ["a"], disconnectedAt: timestampFromMs(77) }];
    const notices = mirror.applySnapshot(snapshot({}, { users }), { epoch: E1, revision: 2 });
    expect(firstOf(notices, "disconnect")).toMatchObject({ userId: "u", connectedBeforeMs: 77 });
    expect(names(mirror.applySnapshot(snapshot({}, { users }), { epoch: E1, revision: 3 }))).toEqual(["resynced"]);
  });

  it("G2: that is older than the mirror is ignored, unless the store was reset", () => {
    const mirror = mirrorAt(5, { u: ["a"] });
    expect(mirror.applySnapshot(snapshot({ u: ["old"] }), { epoch: E1, revision: 4 })).toEqual([]);
    expect(mirror.channelIds("e", "u")).toEqual(["a"]);
    mirror.applySnapshot(snapshot({ u: ["b"] }, { reason: SnapshotReason.STORE_RESET }), { epoch: E1, revision: 2 });
    expect(mirror.channelIds("e", "u")).toEqual(["b"]);
    mirror.applySnapshot(snapshot({ u: ["c"] }, { reason: SnapshotReason.STORE_RESET }), { epoch: E2, revision: 0 });
    expect(mirror.channelIds("e", "u")).toEqual(["c"]);
  });
});

describe("a change", () => {
  it("G2: that is already known is ignored; one that leaves a gap is a violation", () => {
    const mirror = mirrorAt(5, { u: ["a"] });
    expect(mirror.applyChange("e", E1, membership(5, "u", ["old"]))).toEqual([]);
    expect(() => mirror.applyChange("e", E1, membership(7, "u", ["gap"]))).toThrow(WatchViolation);
    expect(() => mirror.applyChange("e", E2, membership(6, "u", ["other"]))).toThrow(WatchViolation);
    expect(() => mirror.applyChange("never seen", E1, membership(1, "u", []))).toThrow(WatchViolation);
    expect(mirror.channelIds("e", "u")).toEqual(["a"]);
    const notices = mirror.applyChange("e", E1, membership(6, "u", ["b"]));
    expect(firstOf(notices, "revoked")).toMatchObject({ added: ["b"], removed: ["a"], revision: 6 });
  });

  it("of one event changes no other event (pitfall 4)", () => {
    const mirror = mirrorAt(1, { u: ["a"] });
    mirror.applySnapshot(snapshot({ u: ["x"] }, { eventId: "f" }), { epoch: "f-1", revision: 0 });
    mirror.applyChange("f", "f-1", membership(1, "u", []));
    expect(mirror.channelIds("e", "u")).toEqual(["a"]);
    expect(mirror.channelIds("f", "u")).toEqual([]);
  });

  it("of speakers keeps the pause; a cut without a latch leaves none", () => {
    const mirror = mirrorAt(0, {});
    mirror.applyChange("e", E1, paused(1, "p1"));
    expect(mirror.pause("e")).toMatchObject({ pauseId: "p1", actor: "ann", startedAtMs: 1_000, expiresAtMs: 61_000 });
    const at = timestampFromMs(5);
    const cut = { pause: { pauseId: "p2", startedAt: at, expiresAt: at }, cut: [{ channelId: "a", userId: "u" }] };
    const notices = mirror.applyChange(
      "e",
      E1,
      create(ChangeSchema, { revision: 2n, kind: { case: "speakersPaused", value: cut } }),
    );
    expect(firstOf(notices, "paused")).toMatchObject({ cut: [{ channelId: "a", userId: "u", userName: "u" }] });
    expect(mirror.pause("e")?.pauseId).toBe("p1");
    expect(firstOf(mirror.applyChange("e", E1, resumed(3, "p1")), "resumed")).toMatchObject({
      pause: { actor: "ann" },
    });
    expect(mirror.pause("e")).toBeUndefined();
  });
});

describe("a heartbeat's answer", () => {
  it("counts only if it is newer than the mirror", () => {
    const mirror = mirrorAt(5, { u: ["a"] });
    expect(mirror.mergeAnswer("e", "u", answer(E1, 4, ["old"]), E1)).toEqual([]);
    expect(mirror.mergeAnswer("e", "u", answer(E1, 5, ["same"]), E1)).toEqual([]);
    const notices = mirror.mergeAnswer("e", "u", answer(E1, 7, []), E1);
    expect(firstOf(notices, "revoked")).toMatchObject({ removed: ["a"], action: "heartbeat", revision: 7 });
    // The stream resumes at its old position. Changes that the answer already contains must not undo it.
    expect(mirror.cursor("e")?.revision).toBe(5);
    expect(mirror.applyChange("e", E1, membership(6, "u", ["a", "b"]))).toEqual([]);
    expect(mirror.channelIds("e", "u")).toEqual([]);
    expect(
      mirror.applySnapshot(snapshot({ u: ["older"] }), { epoch: E1, revision: 6 }).map(({ name }) => name),
    ).toEqual(["resynced"]);
    expect(mirror.channelIds("e", "u")).toEqual([]);
  });

  it("of a new epoch counts, but not if the stream has overtaken it", () => {
    const mirror = mirrorAt(5, { u: ["a"] });
    mirror.mergeAnswer("e", "u", answer(E2, 1, ["b"]), E1);
    expect(mirror.channelIds("e", "u")).toEqual(["b"]);
    mirror.applySnapshot(snapshot({ u: ["c"] }), { epoch: "epoch-3", revision: 0 });
    expect(mirror.mergeAnswer("e", "u", answer(E2, 9, ["b"]), E1)).toEqual([]);
    expect(mirror.channelIds("e", "u")).toEqual(["c"]);
  });

  it("pitfall 2: an empty list revokes all channels; a user that was never written is unknown", () => {
    const mirror = mirrorAt(1, { u: ["a"] });
    mirror.mergeAnswer("e", "u", answer(E1, 2, []), E1);
    expect(mirror.channelIds("e", "u")).toEqual([]);
    mirror.mergeAnswer("e", "stranger", answer(E1, 2, [], false), E1);
    expect(mirror.channelIds("e", "stranger")).toBeUndefined();
  });

  it("counts also before the first snapshot", () => {
    const mirror = new PermissionMirror();
    mirror.mergeAnswer("e", "u", answer(E1, 3, ["a"]), undefined);
    expect(mirror.channelIds("e", "u")).toEqual(["a"]);
    expect(mirror.cursors()).toEqual([]);
  });
});

it("G1, G2: any mixture of snapshots, changes and answers ends with the state of the store", () => {
  const step = fc.record({
    user: fc.constantFrom("u", "v"),
    channels: fc.subarray(["a", "b", "c"]),
    via: fc.constantFrom("nothing", "answer", "snapshot"),
    delivered: fc.nat(3),
  });
  const law = fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
    const mirror = mirrorAt(0, {});
    const store: Record<string, string[]> = {};
    const log: ReturnType<typeof membership>[] = [];
    const received: Record<string, string[]> = {};
    const receive = (notices: Notice[]) => {
      for (const { name, arguments: details } of notices) {
        if (name === "change") received[details[0].userId] = details[0].channelIds;
      }
    };
    const deliver = (count: number) => {
      for (let n = 0; n < count; n += 1) {
        const next = log[mirror.cursor("e")?.revision ?? 0];
        if (next) receive(mirror.applyChange("e", E1, next));
      }
    };
    for (const { user, channels, via, delivered } of steps) {
      log.push(membership(log.length + 1, user, channels));
      store[user] = channels;
      if (via === "answer") receive(mirror.mergeAnswer("e", user, answer(E1, log.length, channels), E1));
      if (via === "snapshot") receive(mirror.applySnapshot(snapshot(store), { epoch: E1, revision: log.length }));
      deliver(delivered);
    }
    deliver(log.length);
    for (const [user, channels] of Object.entries(store)) {
      expect(mirror.channelIds("e", user)).toEqual(channels);
      expect(received[user] ?? []).toEqual(channels);
    }
  });
  fc.assert(law);
});
