import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { PermissionService, SnapshotReason } from "../../../gen/squelch/v1/permission_service_pb.js";
import { eventKeys } from "../../../src/engine/redis/keys.js";
import type { GrpcClient } from "../../../src/lib/grpcService.js";
import { sync } from "../../support/clients/syncClient.js";
import { type WatchClient, watchOn } from "../../support/clients/watchClient.js";
import { type ReplicaPair, startReplicaPair } from "../../support/redis/startReplicaPair.js";
import { waitFor } from "../../support/waitFor.js";

const { watchPermissions: _, ...permissions } = PermissionService.method;

let other: ReplicaPair["other"];
let clients: ReplicaPair["clients"];
let close: ReplicaPair["close"] | undefined;
beforeAll(async () => {
  ({ other, clients, close } = await startReplicaPair());
});
afterAll(() => close?.());

/** Writes through the replica that has not loaded the event, so that the one with the watcher has to notice by itself. */
const assign = (eventId: string, userId: string, channelIds: string[]) =>
  clients[1].unary(permissions.setUserChannels, { eventId, userId, channelIds });

/** Copies keys, to restore them later in the running server. */
async function copyOf(...keys: string[]) {
  const dumps = await Promise.all(keys.map(async (key) => [key, await other.dumpBuffer(key)] as const));
  return async () => {
    for (const [key, dump] of dumps) if (dump !== null) await other.restore(key, 0, dump, "REPLACE");
  };
}

function watch(eventId: string, client: GrpcClient): WatchClient {
  return watchOn(client, { eventIds: [eventId], checkpointInterval: { seconds: 1n } });
}

async function makeEvent() {
  const eventId = randomUUID();
  const { meta, log, members } = eventKeys(eventId);
  const channelId = `${eventId}-a`;
  for (const userId of ["u1", "u2"]) await assign(eventId, userId, [channelId]);
  const standing = watch(eventId, clients[0]);
  await standing.caughtUp();
  return { eventId, channelId, standing, meta, log, members };
}

async function storedChannels(eventId: string): Promise<Map<string, string[]>> {
  const members = await other.hgetall(eventKeys(eventId).members);
  return new Map(
    Object.entries(members)
      .map(([userId, json]): [string, string[]] => [userId, JSON.parse(json).c])
      .sort(),
  );
}

/** Asserts that a standing watcher and a new one on each replica agree with the store, in one epoch. */
async function expectAgreement(eventId: string, standing: WatchClient) {
  const watchers = [standing, watch(eventId, clients[0]), watch(eventId, clients[1])];
  for (const each of watchers) await each.caughtUp();
  const stored = await storedChannels(eventId);
  const channelsOf = ({ picture }: WatchClient) => [...(picture.events.get(eventId)?.users ?? [])].sort();
  const isEqual = (each: WatchClient) => JSON.stringify(channelsOf(each)) === JSON.stringify([...stored]);
  await waitFor(() => watchers.every((each) => each.error !== undefined || isEqual(each)), {
    message: () => `${JSON.stringify([...stored])}, watchers have ${JSON.stringify(watchers.map(channelsOf))}`,
  });
  expect(new Set(watchers.map(({ picture }) => picture.events.get(eventId)?.epoch)).size).toBe(1);
  expect(watchers.map(({ error }) => error)).toEqual([undefined, undefined, undefined]);
  for (const each of watchers) each.close();
}

/** The number of changes that the restore loses, and of changes after it, before a position check. */
const histories: [name: string, lost: number, after: number][] = [
  ["nothing else happens", 3, 0],
  ["fewer changes follow than were lost", 5, 2],
  ["as many changes follow as were lost", 3, 3],
  ["more changes follow than were lost", 2, 6],
];

describe("an older copy of an event that is restored under the running Redis", () => {
  it.each(histories)(
    "begins a new epoch, so that no revision is used twice, where %s (G2)",
    async (_name, lost, after) => {
      const { eventId, channelId, standing, meta, log, members } = await makeEvent();
      const restore = await copyOf(meta, log, members);
      for (let count = 0; count < lost; count++) await assign(eventId, `lost${count}`, [channelId]);
      await waitFor(() => standing.picture.changes.length === lost);
      const { epoch } = standing.picture.events.get(eventId) ?? {};
      await restore();
      for (let count = 0; count < after; count++) await assign(eventId, `after${count}`, [channelId]);
      await waitFor(() => standing.picture.events.get(eventId)?.epoch !== epoch, { message: "a new epoch" });
      expect(standing.picture.snapshotReasons.at(-1)).toBe(SnapshotReason.STORE_RESET);
      await expectAgreement(eventId, standing);
    },
  );

  it("also begins a new epoch if one step exceeds the delivered revision", async () => {
    const { eventId, channelId, standing, meta, log, members } = await makeEvent();
    const restore = await copyOf(meta, log, members);
    await assign(eventId, "lost", [channelId]);
    await waitFor(() => standing.picture.changes.length === 1);
    const { epoch } = standing.picture.events.get(eventId) ?? {};
    await restore();
    await sync(clients[1], {
      eventId,
      users: [1, 2, 3, 4, 5, 6].map((n) => ({ userId: `s${n}`, channelIds: [channelId] })),
    });
    await waitFor(() => standing.picture.events.get(eventId)?.epoch !== epoch, { message: "a new epoch" });
    await expectAgreement(eventId, standing);
  });

  it("begins a new epoch if the copy is from an epoch that has ended", async () => {
    const { eventId, channelId, standing, meta, log, members } = await makeEvent();
    const first = standing.picture.events.get(eventId)?.epoch;
    const restore = await copyOf(meta, log, members);
    await assign(eventId, "lost", [channelId]);
    await other.del(meta);
    await assign(eventId, "later", [channelId]);
    await waitFor(() => standing.picture.channelsOf(eventId, "later") !== undefined);
    const second = standing.picture.events.get(eventId)?.epoch;
    expect(second).not.toBe(first);
    await restore();
    await waitFor(() => standing.picture.events.get(eventId)?.epoch !== second, { message: "a third epoch" });
    expect(standing.picture.events.get(eventId)?.epoch).not.toBe(first);
    await expectAgreement(eventId, standing);
  });
});

describe("a sync repairs (pitfall 62)", () => {
  type Event = Awaited<ReturnType<typeof makeEvent>>;
  const losses: [name: string, lose: (event: Event) => Promise<unknown>][] = [
    ["members that were deleted", ({ members }) => other.del(members)],
    ["a member that was deleted", ({ members }) => other.hdel(members, "u2")],
    ["members and meta that were deleted", ({ members, meta }) => other.del(members, meta)],
    ["members and log that were deleted", ({ members, log }) => other.del(members, log)],
    ["all keys of the event that were deleted", ({ members, meta, log }) => other.del(members, meta, log)],
    ["members of the wrong type", async ({ members }) => [await other.del(members), await other.set(members, "x")]],
  ];

  it.each(losses)("%s: watchers, old and new, have what was synced, whatever they had", async (_name, lose) => {
    const event = await makeEvent();
    const { eventId, channelId, standing } = event;
    await lose(event);
    await sync(clients[1], { eventId, users: [{ userId: "u1", channelIds: [channelId] }] });
    await waitFor(() => (standing.picture.channelsOf(eventId, "u2") ?? []).length === 0, { message: "the revocation" });
    expect(standing.picture.channelsOf(eventId, "u1")).toEqual([channelId]);
    await expectAgreement(eventId, standing);
  });

  it("members that were deleted, and restored without other keys after the loss was noticed", async () => {
    const { eventId, channelId, standing, members } = await makeEvent();
    const restore = await copyOf(members);
    await other.del(members);
    await assign(eventId, "u3", [channelId]);
    await waitFor(() => standing.picture.channelsOf(eventId, "u1") === undefined, { message: "the new epoch" });
    await restore();
    await sync(clients[1], { eventId, users: [{ userId: "u1", channelIds: [channelId] }] });
    await waitFor(() => standing.picture.channelsOf(eventId, "u1")?.length === 1, { message: "the grant" });
    await expectAgreement(eventId, standing);
  });

  it("members that alone were replaced by an older copy", async () => {
    const { eventId, channelId, standing, members } = await makeEvent();
    const restore = await copyOf(members);
    await assign(eventId, "u1", []);
    await assign(eventId, "u2", [channelId, `${eventId}-b`]);
    await waitFor(() => standing.picture.changes.length === 2);
    await restore();
    await sync(clients[1], { eventId, users: [{ userId: "u1", channelIds: [channelId] }] });
    await waitFor(() => standing.picture.channelsOf(eventId, "u1")?.length === 1, { message: "the grant" });
    await expectAgreement(eventId, standing);
  });
});

describe("members that were replaced by an older copy", () => {
  it("begin a new epoch at the next change of any member (G1)", async () => {
    const { eventId, channelId, standing, members } = await makeEvent();
    const restore = await copyOf(members);
    await assign(eventId, "u1", []);
    await waitFor(() => standing.picture.changes.length === 1);
    await restore();
    await assign(eventId, "u2", [channelId, `${eventId}-b`]);
    await waitFor(() => standing.picture.channelsOf(eventId, "u1")?.length === 1, { message: "the new epoch" });
    expect(standing.picture.snapshotReasons.at(-1)).toBe(SnapshotReason.STORE_RESET);
    await expectAgreement(eventId, standing);
  });
});
