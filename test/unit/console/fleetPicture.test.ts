import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { WatchPermissionsResponseSchema } from "../../../gen/squelch/v1/permission_service_pb.js";
import { FleetPicture } from "../../../src/console/model/fleetPicture.js";
import { formatAge, formatSpan } from "../../../src/console/model/format.js";
import { freshnessOf } from "../../../src/console/model/freshness.js";
import { listUsers, searchUsers } from "../../../src/console/model/search.js";

const E = "e";
type Payload = MessageInitShape<typeof WatchPermissionsResponseSchema>["payload"];

function receive(picture: FleetPicture, payload: NonNullable<Payload>) {
  return picture.take(create(WatchPermissionsResponseSchema, { payload }));
}

function chunk(
  picture: FleetPicture,
  chunkIndex: number,
  complete: boolean,
  users: Record<string, string[]>,
  revision = 5n,
) {
  const members = Object.entries(users).map(([userId, channelIds]) => ({ userId, channelIds }));
  const cursor = { eventId: E, epoch: "x", revision };
  receive(picture, { case: "snapshot", value: { eventId: E, cursor, users: members, complete, chunkIndex } });
}

function change(picture: FleetPicture, revision: bigint, userId: string, channelIds: string[], added: string[] = []) {
  const kind = { case: "membershipChanged", value: { userId, channelIds, added } } as const;
  receive(picture, { case: "changes", value: { eventId: E, epoch: "x", changes: [{ revision, kind }] } });
}

describe("the console's picture of an event", () => {
  it("is replaced by a snapshot when the last chunk has arrived, and not before", () => {
    const picture = new FleetPicture();
    chunk(picture, 0, true, { gone: ["a"] });
    chunk(picture, 0, false, { anna: ["a"] }, 7n);
    expect([...(picture.events.get(E)?.users.keys() ?? [])]).toEqual(["gone"]);
    expect(picture.resume()).toEqual([{ eventId: E, epoch: "x", revision: 5n }]);
    chunk(picture, 0, false, { anna: ["a"] }, 7n);
    chunk(picture, 1, true, { ben: ["a", "b"], carla: [] }, 7n);
    const event = picture.events.get(E);
    expect(event && [...event.users.keys()]).toEqual(["anna", "ben", "carla"]);
    expect(event).toMatchObject({ userCount: 2, revision: 7n });
    expect(event && [...event.channels.keys()]).toEqual(["a", "b"]);
  });

  it("does not resume an event whose first snapshot is not complete", () => {
    const picture = new FleetPicture();
    chunk(picture, 0, false, { anna: ["a"] });
    expect(picture.resume()).toEqual([]);
  });

  it("counts the users with channels, and keeps the order while no user is added or removed", () => {
    const picture = new FleetPicture();
    chunk(picture, 0, true, { anna: ["a"], ben: [] });
    const event = picture.events.get(E);
    const before = event?.rosterVersion;
    change(picture, 6n, "anna", ["a", "b"], ["b"]);
    expect(event).toMatchObject({ userCount: 1, rosterVersion: before, revision: 6n });
    change(picture, 7n, "ben", ["b"], ["b"]);
    expect(event).toMatchObject({ userCount: 2, rosterVersion: (before ?? 0) + 1 });
    change(picture, 8n, "anna", []);
    expect(event?.userCount).toBe(1);
  });

  it("forgets a channel that has left the index, but not one that was added after the index was requested", () => {
    const picture = new FleetPicture();
    chunk(picture, 0, true, { anna: ["moved", "kept"] });
    const event = picture.events.get(E);
    const askedAt = event?.revision ?? 0n;
    change(picture, 6n, "anna", ["kept", "new"], ["new"]);
    event?.takeIndex(["kept", "empty"], askedAt);
    expect(event && [...event.channels.keys()].sort()).toEqual(["empty", "kept", "new"]);
  });

  it("knows the speakers: a snapshot replaces them, a message without a holder frees the channel", () => {
    const picture = new FleetPicture();
    const speaker = (channelId: string) => ({ channelId, userId: "anna" });
    receive(picture, {
      case: "speakers",
      value: { eventId: E, payload: { case: "snapshot", value: { speakers: ["a", "b"].map(speaker) } } },
    });
    receive(picture, {
      case: "speakers",
      value: { eventId: E, payload: { case: "changed", value: { channelId: "a" } } },
    });
    receive(picture, {
      case: "speakers",
      value: { eventId: E, payload: { case: "changed", value: { channelId: "c", holder: speaker("c") } } },
    });
    expect([...(picture.events.get(E)?.speakers.keys() ?? [])]).toEqual(["b", "c"]);
    receive(picture, { case: "speakers", value: { eventId: E, payload: { case: "snapshot", value: {} } } });
    expect(picture.events.get(E)?.speakers.size).toBe(0);
  });
});

describe("freshness", () => {
  const feed = { link: { state: "open" }, isHealthy: true, provenMs: 1_000 } as const;
  it("is live only while the stream is open and the server's feed is healthy", () => {
    expect(freshnessOf(feed, 1_500)).toEqual({ level: "live", ageMs: 500 });
    expect(freshnessOf({ ...feed, isHealthy: false }, 1_500)).toEqual({ level: "unhealthy", ageMs: 500 });
    // The stream is open again, but without a checkpoint: the page shows the old picture.
    expect(freshnessOf({ ...feed, isHealthy: undefined }, 9_000)).toEqual({ level: "lost", ageMs: 8_000 });
    const problem = { kind: "unreachable", text: "", reason: undefined } as const;
    expect(freshnessOf({ ...feed, link: { state: "lost", problem } }, 2_000).level).toBe("lost");
    expect(freshnessOf({ link: { state: "connecting" }, isHealthy: undefined, provenMs: undefined }, 0)).toEqual({
      level: "connecting",
      ageMs: undefined,
    });
  });
});

describe("search and words", () => {
  it("finds users by id, then by channel, in upper or lower case, in a natural order", () => {
    const users = new Map([
      ["unit-10", ["stage"]],
      ["unit-2", ["gate"]],
      ["Stagehand", ["gate"]],
      ["revoked", []],
    ]);
    expect(listUsers(users)).toEqual(["Stagehand", "unit-2", "unit-10"]);
    const rows = listUsers(users).map((userId) => ({ userId, channelIds: users.get(userId) ?? [] }));
    expect(searchUsers(rows, " STAGE ").map(({ userId }) => userId)).toEqual(["Stagehand", "unit-10"]);
    expect(searchUsers(rows, "")).toBe(rows);
  });

  it("prints durations like a stopwatch, and ages in one unit", () => {
    expect([-5, 7_900, 725_000, 3_723_000].map(formatSpan)).toEqual(["0:00", "0:07", "12:05", "1:02:03"]);
    expect([400, 12_000, 180_000, 7_200_000].map(formatAge)).toEqual(["0.4 s", "12 s", "3 min", "2 h"]);
  });
});
