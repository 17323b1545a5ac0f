import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, it } from "vitest";
import { ChannelService } from "../../../gen/squelch/v1/channel_service_pb.js";
import { PermissionService, SnapshotReason } from "../../../gen/squelch/v1/permission_service_pb.js";
import { eventKeys } from "../../../src/engine/redis/keys.js";
import { watchOn } from "../../support/clients/watchClient.js";
import { type ReplicaPair, startReplicaPair } from "../../support/redis/startReplicaPair.js";
import { parseExposition } from "../../support/scrape.js";
import { waitFor } from "../../support/waitFor.js";

const { watchPermissions: _, ...permissions } = PermissionService.method;

let other: ReplicaPair["other"];
let replicas: ReplicaPair["replicas"];
let clients: ReplicaPair["clients"];
let close: ReplicaPair["close"] | undefined;
beforeAll(async () => {
  ({ other, replicas, clients, close } = await startReplicaPair());
});
afterAll(() => close?.());

const assign = (eventId: string, userId: string, channelIds: string[]) =>
  clients[0].unary(permissions.setUserChannels, { eventId, userId, channelIds });

/** An event with two users and a standing watcher, which the first replica has loaded. */
async function makeWatchedEvent() {
  const eventId = randomUUID();
  const channelId = `${eventId}-a`;
  await assign(eventId, "anna", [channelId]);
  await assign(eventId, "bela", [channelId]);
  const standing = watchOn(clients[0], { eventIds: [eventId], checkpointInterval: { seconds: 1n } });
  await standing.caughtUp();
  return { eventId, channelId, standing, keys: eventKeys(eventId) };
}

async function countEpochs(reason: string): Promise<number> {
  const texts = await Promise.all(
    replicas.map(async ({ httpAddress }) => (await fetch(`http://${httpAddress}/metrics`)).text()),
  );
  const samples = texts.map((text) => parseExposition(text).get("squelch_epochs_begun_total")?.samples);
  return samples.reduce((sum, each) => sum + (each?.get(`squelch_epochs_begun_total{reason="${reason}"}`) ?? 0), 0);
}

/** Asserts that the standing watcher, one on a replica that has not loaded the event, and the store agree. */
async function expectAgreement({ eventId, standing }: Awaited<ReturnType<typeof makeWatchedEvent>>) {
  const fresh = watchOn(clients[1], { eventIds: [eventId], checkpointInterval: { seconds: 1n } });
  await fresh.caughtUp();
  const members = await other.hgetall(eventKeys(eventId).members);
  const stored = new Map(Object.entries(members).map(([userId, json]) => [userId, JSON.parse(json).c]));
  const expected = JSON.stringify([...stored].sort());
  const channelsOf = ({ picture }: typeof fresh) =>
    JSON.stringify([...(picture.events.get(eventId)?.users ?? [])].sort());
  const epochOf = ({ picture }: typeof fresh) => picture.events.get(eventId)?.epoch;
  await waitFor(() => [standing, fresh].every((watch) => watch.error !== undefined || channelsOf(watch) === expected), {
    message: () => `${expected}, watchers have ${channelsOf(standing)} and ${channelsOf(fresh)}`,
  });
  await waitFor(() => epochOf(standing) === epochOf(fresh), { message: "one epoch" });
  expect([standing.error, fresh.error]).toEqual([undefined, undefined]);
  fresh.close();
  standing.close();
  return stored;
}

type Keys = ReturnType<typeof eventKeys>;
type Damage = [name: string, reason: string, damage: (keys: Keys, channelId: string) => Promise<unknown>];

async function replace(key: string, write: () => Promise<unknown>): Promise<void> {
  await other.del(key);
  await write();
}

const damages: Damage[] = [
  [
    "an entry in the log that its meta does not have (pitfall 61)",
    "log_ahead",
    ({ log }) => other.xadd(log, "3-0", "entry", "{}"),
  ],
  ["a meta that was evicted", "meta_lost", ({ meta }) => other.del(meta)],
  ["a meta without an epoch", "meta_lost", ({ meta }) => other.hdel(meta, "epoch")],
  ["a revision that is not a number", "meta_unreadable", ({ meta }) => other.hset(meta, "revision", "many")],
  ["a revision that is not whole", "meta_unreadable", ({ meta }) => other.hset(meta, "revision", "2.5")],
  ["an epoch that JSON would escape", "meta_unreadable", ({ meta }) => other.hset(meta, "epoch", 'a"b')],
  ["members that were evicted (pitfall 62)", "members_lost", ({ members }) => other.del(members)],
  ["a member that was deleted", "members_lost", ({ members }) => other.hdel(members, "bela")],
  ["a meta that is a string", "wrong_type", ({ meta }) => replace(meta, () => other.set(meta, "x"))],
  ["a log that is a string", "wrong_type", ({ log }) => replace(log, () => other.set(log, "x"))],
  ["members that are a string", "wrong_type", ({ members }) => replace(members, () => other.set(members, "x"))],
  ["channels that are a list", "wrong_type", ({ channels }) => replace(channels, () => other.rpush(channels, "x"))],
  ["a pause that is a hash", "wrong_type", ({ pause }) => other.hset(pause, "x", "x")],
  ["leases that are a list", "wrong_type", ({ leases }) => replace(leases, () => other.rpush(leases, "x"))],
  ["queues that are a sorted set", "wrong_type", ({ queue }) => replace(queue, () => other.zadd(queue, 1, "x"))],
  ["a member that is not JSON", "unreadable_value", ({ members }) => other.hset(members, "anna", "anna")],
  ["a member without channels", "unreadable_value", ({ members }) => other.hset(members, "anna", '{"r":1}')],
  ["a pause that is not JSON", "unreadable_value", ({ pause }) => other.set(pause, "stop!")],
  ["a lowest position that is none", "unreadable_value", ({ meta }) => other.hset(meta, "floor", "low")],
  ["a lease that is not JSON", "unreadable_value", ({ leases }, channelId) => other.hset(leases, channelId, "lease")],
  [
    "a queue that is not JSON",
    "unreadable_value",
    ({ queue }, channelId) => other.hset(queue, channelId, '[{"queueId":"x"}]'),
  ],
];

it.each(damages)("%s begins a new epoch, and wedges nothing: %s (G1, G9)", async (_name, reason, damage) => {
  const event = await makeWatchedEvent();
  const { eventId, channelId, standing, keys } = event;
  const before = await countEpochs(reason);
  await damage(keys, channelId);
  await assign(eventId, "anna", [channelId, `${eventId}-new`]);
  const press = { channelId, userId: "anna", sessionId: "s" };
  const pressed = await clients[0].unary(ChannelService.method.startPtt, press);
  expect(pressed.outcome.case).toBe("granted");
  await waitFor(() => standing.picture.snapshotReasons.includes(SnapshotReason.STORE_RESET), {
    message: "a snapshot for a new epoch",
  });
  expect((await expectAgreement(event)).get("anna")).toEqual([channelId, `${eventId}-new`]);
  expect(await countEpochs(reason)).toBe(before + 1);
});

it.each(damages)("a watcher that comes first after %s is served: %s", async (_name, _reason, damage) => {
  const event = await makeWatchedEvent();
  await damage(event.keys, event.channelId);
  const fresh = watchOn(clients[1], { eventIds: [event.eventId] });
  await fresh.caughtUp();
  fresh.close();
  await assign(event.eventId, "carl", [event.channelId]);
  expect((await expectAgreement(event)).get("carl")).toEqual([event.channelId]);
});

it("a pause that finds the log ahead of its meta cuts, is logged, and returns the cut speakers (pitfall 61, G5)", async () => {
  const { eventId, channelId, standing, keys } = await makeWatchedEvent();
  await clients[0].unary(ChannelService.method.startPtt, { channelId, userId: "anna", sessionId: "s" });
  await other.xadd(keys.log, "3-0", "entry", "{}");
  const { paused, pause } = await clients[0].unary(permissions.pauseAllSpeakers, { eventId });
  expect(paused).toMatchObject([{ channelId, userId: "anna" }]);
  await waitFor(() => standing.picture.events.get(eventId)?.pauseId === pause?.pauseId);
  expect(standing.error).toBeUndefined();
  standing.close();
});

it("a pause with an evicted meta still ends for every watcher (pitfall 33)", async () => {
  const { eventId, standing, keys } = await makeWatchedEvent();
  await clients[0].unary(permissions.pauseAllSpeakers, { eventId, duration: { seconds: 1n, nanos: 500_000_000 } });
  await other.del(keys.meta);
  await assign(eventId, "anna", []);
  await waitFor(() => standing.picture.snapshotReasons.includes(SnapshotReason.STORE_RESET));
  expect(standing.picture.events.get(eventId)?.pauseId).toBeDefined();
  await waitFor(() => standing.picture.events.get(eventId)?.pauseId === undefined, { message: "the end of the pause" });
  expect(standing.picture.changes.at(-1)?.kind).toMatchObject({ case: "speakersResumed", value: { expired: true } });
  standing.close();
});

it("a pause that was evicted ends, and frees the channels that it held", async () => {
  const { eventId, channelId, standing, keys } = await makeWatchedEvent();
  await clients[0].unary(permissions.pauseAllSpeakers, { eventId });
  const speaker = `channel:${channelId}:speaker`;
  expect(await other.exists(speaker)).toBe(1);
  await other.del(keys.pause);
  await waitFor(async () => (await other.exists(speaker)) === 0, { message: "the channel to be free" });
  await waitFor(() => standing.picture.events.get(eventId)?.pauseId === undefined);
  standing.close();
});

it("an evicted log costs resuming watchers a snapshot, and nothing else (pitfall 24)", async () => {
  const event = await makeWatchedEvent();
  const { eventId, channelId, standing, keys } = event;
  const cursor = { eventId, epoch: standing.picture.events.get(eventId)?.epoch ?? "", revision: 1n };
  await other.del(keys.log);
  await assign(eventId, "carl", [channelId]);
  await waitFor(() => standing.picture.changes.length === 1);
  const resumed = watchOn(clients[1], { eventIds: [eventId], cursors: [cursor] });
  await resumed.caughtUp();
  expect(resumed.picture.snapshotReasons).toEqual([SnapshotReason.CURSOR_TOO_OLD]);
  expect(standing.picture.snapshotReasons).toEqual([SnapshotReason.INITIAL]);
  resumed.close();
  await expectAgreement(event);
});
