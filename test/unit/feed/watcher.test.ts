import { randomUUID } from "node:crypto";
import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { SnapshotReason } from "../../../gen/squelch/v1/permission_service_pb.js";
import type { LogPosition } from "../../../src/domain/cursor.js";
import { SquelchError } from "../../../src/domain/errors.js";
import { DEFAULT_EVENT_LIMITS } from "../../../src/domain/eventLimits.js";
import type { Engine } from "../../../src/domain/ports/engine.js";
import { createMemoryEngine } from "../../../src/engine/memory/engine.js";
import { createLogger } from "../../../src/lib/logger.js";
import { MAX_RING_CHANGES } from "../../../src/server/feed/changeRing.js";
import { Hub } from "../../../src/server/feed/hub.js";
import { MAX_MESSAGE_BYTES } from "../../../src/server/feed/snapshot.js";
import { Watcher } from "../../../src/server/feed/watcher.js";
import { WatchedPicture } from "../../support/clients/watchedPicture.js";
import { FakeSink } from "../../support/fakes/fakeSink.js";
import { waitFor } from "../../support/waitFor.js";

const teardowns: (() => void)[] = [];
afterEach(() => {
  for (const teardown of teardowns.splice(0)) teardown();
});

function setUp() {
  const engine = createMemoryEngine();
  const hub = new Hub(engine, createLogger("test", "silent"));
  teardowns.push(
    () => hub.close(),
    () => void engine.close(),
  );
  return { engine, hub, eventId: randomUUID() };
}

async function watch(
  hub: Hub,
  eventIds: string[],
  options: {
    cursors?: Record<string, LogPosition>;
    picture?: WatchedPicture;
    userIds?: string[];
    checkpointIntervalMs?: number;
  } = {},
) {
  const sink = new FakeSink();
  const picture = options.picture ?? new WatchedPicture({ isFiltered: options.userIds !== undefined });
  sink.onMessage = (message) => picture.apply(message);
  const userIds = options.userIds && new Set(options.userIds);
  const watcher = new Watcher(sink, userIds, options.checkpointIntervalMs ?? 60_000, () => hub.health);
  teardowns.push(() => watcher.close());
  for (const eventId of eventIds) {
    const feed = await hub.acquire(eventId);
    const cursor = options.cursors?.[eventId];
    if (cursor !== undefined && !feed.reachesBackTo(cursor)) await feed.reachFor(cursor);
    watcher.add(feed, cursor);
  }
  watcher.start();
  return { sink, picture, watcher };
}

const assign = (engine: Engine, eventId: string, userId: string, channelIds: string[]) =>
  engine.setUserChannels({ eventId, userId, channelIds, action: "set", actor: "test", onlyIfUnknown: false });

const turn = () => new Promise((resolve) => setImmediate(resolve));

async function positionOf(engine: Engine, eventId: string): Promise<LogPosition> {
  return (await engine.readPosition(eventId)) as LogPosition;
}

describe("Watcher", () => {
  it("receives a complete snapshot and a checkpoint for an event without writes (pitfall 26)", async () => {
    const { hub, eventId } = setUp();
    const { picture } = await watch(hub, [eventId]);
    await waitFor(() => picture.checkpoints.length === 1);
    expect(picture.events.get(eventId)).toMatchObject({ revision: 0, users: new Map() });
    expect(picture.snapshotReasons).toEqual([SnapshotReason.INITIAL]);
  });

  it("is sent each change in order, from the first revision on (G2)", async () => {
    const { engine, hub, eventId } = setUp();
    const { picture } = await watch(hub, [eventId]);
    await waitFor(() => picture.checkpoints.length === 1);
    await assign(engine, eventId, "u1", [`${eventId}-a`]);
    await assign(engine, eventId, "u1", []);
    await waitFor(() => picture.changes.length === 2);
    expect(picture.changes.map(({ revision }) => revision)).toEqual([1n, 2n]);
    expect(picture.channelsOf(eventId, "u1")).toEqual([]);
  });

  it("continues from its cursor without a snapshot", async () => {
    const { engine, hub, eventId } = setUp();
    await assign(engine, eventId, "u1", [`${eventId}-a`]);
    const cursor = await positionOf(engine, eventId);
    await assign(engine, eventId, "u2", [`${eventId}-a`]);
    const picture = new WatchedPicture();
    picture.resumeAt(eventId, cursor);
    const { sink } = await watch(hub, [eventId], { cursors: { [eventId]: cursor }, picture });
    await waitFor(() => sink.messages.length === 2);
    expect(sink.messages.map(({ payload }) => payload.case)).toEqual(["changes", "checkpoint"]);
    expect(sink.messages[0]?.payload.value).toMatchObject({ changes: [{ revision: 2n }] });
  });

  it("continues from its cursor on a replica that has just loaded the event", async () => {
    const { engine, hub, eventId } = setUp();
    await assign(engine, eventId, "u0", [`${eventId}-a`]);
    const cursor = await positionOf(engine, eventId);
    for (let user = 1; user <= 700; user++) await assign(engine, eventId, `u${user}`, [`${eventId}-a`]);
    const pictures = await Promise.all(
      [1, 2, 3].map(async () => {
        const picture = new WatchedPicture();
        picture.resumeAt(eventId, cursor);
        await watch(hub, [eventId], { cursors: { [eventId]: cursor }, picture });
        return picture;
      }),
    );
    for (const picture of pictures) {
      await waitFor(() => picture.changes.length === 700);
      expect(picture.snapshotReasons).toEqual([]);
    }
  });

  it("continues from the oldest entry of the log on a replica that has just loaded the event", async () => {
    const limits = { ...DEFAULT_EVENT_LIMITS, logLength: 290 };
    const engine = createMemoryEngine({ limits });
    const hub = new Hub(engine, createLogger("test", "silent"));
    teardowns.push(
      () => hub.close(),
      () => void engine.close(),
    );
    const eventId = randomUUID();
    for (let user = 1; user <= 500; user++) await assign(engine, eventId, `u${user}`, [`${eventId}-a`]);
    const { epoch } = await positionOf(engine, eventId);
    const resume = async (revision: number) => {
      const picture = new WatchedPicture();
      picture.resumeAt(eventId, { epoch, revision });
      await watch(hub, [eventId], { cursors: { [eventId]: { epoch, revision } }, picture });
      await waitFor(() => picture.checkpoints.length === 1);
      return picture;
    };
    expect((await resume(209)).snapshotReasons).toEqual([SnapshotReason.CURSOR_TOO_OLD]);
    const oldest = await resume(210);
    expect(oldest.snapshotReasons).toEqual([]);
    expect(oldest.changes).toHaveLength(290);
  });

  it("gets a snapshot of a loaded event if the log cannot be read", async () => {
    const { engine, eventId } = setUp();
    await assign(engine, eventId, "u1", [`${eventId}-a`]);
    const cursor = await positionOf(engine, eventId);
    await assign(engine, eventId, "u2", [`${eventId}-a`]);
    const away = new SquelchError("unavailable", "away");
    const failing = { ...engine, readLogBack: () => Promise.reject(away) };
    const hub = new Hub(failing, createLogger("test", "silent"));
    teardowns.push(() => hub.close());
    const { picture } = await watch(hub, [eventId], { cursors: { [eventId]: cursor } });
    await waitFor(() => picture.checkpoints.length === 1);
    expect(picture.snapshotReasons).toEqual([SnapshotReason.CURSOR_TOO_OLD]);
  });

  it.each([
    ["of another epoch", (at: LogPosition) => ({ epoch: "another-life", revision: at.revision })],
    ["ahead of the store", (at: LogPosition) => ({ epoch: at.epoch, revision: at.revision + 7 })],
  ])("gets a snapshot with the reason that its cursor is %s (pitfall 24)", async (_, cursorFrom) => {
    const { engine, hub, eventId } = setUp();
    await assign(engine, eventId, "u1", [`${eventId}-a`]);
    const cursor = cursorFrom(await positionOf(engine, eventId));
    const { picture } = await watch(hub, [eventId], { cursors: { [eventId]: cursor } });
    await waitFor(() => picture.checkpoints.length === 1);
    expect(picture.snapshotReasons).toEqual([SnapshotReason.STORE_RESET]);
    expect(picture.channelsOf(eventId, "u1")).toEqual([`${eventId}-a`]);
  });

  it("gets a snapshot with the reason that its cursor is too old, instead of a gap (pitfall 24)", async () => {
    const { engine, hub, eventId } = setUp();
    await assign(engine, eventId, "u1", [`${eventId}-a`]);
    const cursor = await positionOf(engine, eventId);
    for (let round = 0; round < 6_000; round++) {
      await assign(engine, eventId, "u2", [`${eventId}-a`]);
      await assign(engine, eventId, "u2", []);
    }
    const { picture } = await watch(hub, [eventId], { cursors: { [eventId]: cursor } });
    await waitFor(() => picture.checkpoints.length === 1);
    expect(picture.snapshotReasons).toEqual([SnapshotReason.CURSOR_TOO_OLD]);
  });

  it("has one message outstanding for any number of changes, and catches up in batches (pitfall 29, G8)", async () => {
    const { engine, hub, eventId } = setUp();
    const { sink, picture } = await watch(hub, [eventId]);
    await waitFor(() => picture.checkpoints.length === 1);
    sink.isReading = false;
    const before = sink.buffers.length;
    for (let round = 0; round < 500; round++) {
      await assign(engine, eventId, `u${round}`, [`${eventId}-a`]);
      await turn();
    }
    expect(sink.buffers.length).toBe(before + 1);
    sink.isReading = true;
    await waitFor(() => picture.changes.length === 500);
    expect(sink.buffers.length).toBeLessThanOrEqual(before + 3);
  });

  it("gets a snapshot when the ring has moved past its cursor, and is not cut off (pitfall 29)", async () => {
    const { engine, hub, eventId } = setUp();
    const { sink, picture } = await watch(hub, [eventId]);
    await waitFor(() => picture.checkpoints.length === 1);
    sink.isReading = false;
    for (let round = 0; round < MAX_RING_CHANGES; round++) {
      await assign(engine, eventId, "u1", round % 2 === 0 ? [`${eventId}-a`] : [`${eventId}-b`]);
    }
    await assign(engine, eventId, "u2", [`${eventId}-a`]);
    await assign(engine, eventId, "u2", [`${eventId}-c`]);
    sink.isReading = true;
    await waitFor(() => picture.channelsOf(eventId, "u2")?.[0] === `${eventId}-c`);
    expect(picture.snapshotReasons).toEqual([SnapshotReason.INITIAL, SnapshotReason.CURSOR_TOO_OLD]);
  });

  it("shares batches and snapshots with watchers at the same position", async () => {
    const { engine, hub, eventId } = setUp();
    await assign(engine, eventId, "u1", [`${eventId}-a`]);
    const one = await watch(hub, [eventId]);
    const two = await watch(hub, [eventId]);
    await waitFor(() => one.picture.checkpoints.length + two.picture.checkpoints.length === 2);
    await assign(engine, eventId, "u1", []);
    await waitFor(() => one.picture.changes.length + two.picture.changes.length === 2);
    expect(one.sink.buffers[0]).toBe(two.sink.buffers[0]);
    expect(one.sink.buffers.at(-1)).toBe(two.sink.buffers.at(-1));
  });

  it("starts over if its snapshot is the third oldest (G8)", async () => {
    const { engine, hub, eventId } = setUp();
    for (let user = 0; user < 1_500; user++) await assign(engine, eventId, `u${user}`, [`${eventId}-a`]);
    const feed = await hub.acquire(eventId);
    // Each watcher stays at its snapshot of two chunks, so that no snapshot is unused and discarded.
    const watchSlowly = () => {
      const sink = new FakeSink();
      sink.isReading = false;
      const watcher = new Watcher(sink, undefined, 60_000, () => hub.health);
      teardowns.push(() => watcher.close());
      watcher.add(feed, undefined);
      watcher.start();
      return sink;
    };
    const slow = watchSlowly();
    const picture = new WatchedPicture();
    for (let generation = 0; generation < 2; generation++) {
      for (let round = 0; round <= MAX_RING_CHANGES; round++) {
        await assign(engine, eventId, `u${generation}`, round % 2 === 0 ? [] : [`${eventId}-a`]);
      }
      watchSlowly();
    }
    slow.onMessage = (message) => picture.apply(message);
    for (const message of slow.messages) picture.apply(message);
    slow.isReading = true;
    await waitFor(() => picture.checkpoints.length === 1);
    expect(picture.snapshotReasons).toEqual([SnapshotReason.INITIAL]);
    expect(picture.events.get(eventId)?.users.size).toBe(1_500);
  });

  it("splits a large event into chunks of at most 1,000 users and 1 MiB (pitfall 32)", async () => {
    const { engine, hub, eventId } = setUp();
    const long = (index: number) => `${eventId}-${"x".repeat(80)}-${index}`;
    const many = Array.from({ length: 100 }, (_, index) => long(index));
    for (let user = 0; user < 1_200; user++) await assign(engine, eventId, `u${user}`, many);
    const { sink, picture } = await watch(hub, [eventId]);
    await waitFor(() => picture.checkpoints.length === 1);
    expect(picture.events.get(eventId)?.users.size).toBe(1_200);
    expect(Math.max(...sink.buffers.map(({ length }) => length))).toBeLessThanOrEqual(MAX_MESSAGE_BYTES);
    const sizes = sink.messages.map(({ payload }) => (payload.case === "snapshot" ? payload.value.users.length : 0));
    expect(Math.max(...sizes)).toBeLessThanOrEqual(1_000);
    expect(sink.buffers.length).toBeGreaterThan(10);
  });

  it("receives only its users, and its checkpoints advance past the others (pitfall 27)", async () => {
    const { engine, hub, eventId } = setUp();
    await assign(engine, eventId, "u1", [`${eventId}-a`]);
    await assign(engine, eventId, "u2", [`${eventId}-a`]);
    const { picture } = await watch(hub, [eventId], { userIds: ["u1", "u9"], checkpointIntervalMs: 20 });
    await waitFor(() => picture.checkpoints.length >= 1);
    await assign(engine, eventId, "u2", []);
    await assign(engine, eventId, "u9", [`${eventId}-a`]);
    await assign(engine, eventId, "u2", [`${eventId}-a`]);
    await waitFor(() => picture.checkpoints.at(-1)?.cursors[0]?.revision === 5n);
    expect([...(picture.events.get(eventId)?.users.keys() ?? [])]).toEqual(["u1", "u9"]);
    expect(picture.changes.map(({ revision }) => revision)).toEqual([4n]);
  });

  it("is sent checkpoints also when nothing happens (pitfall 27)", async () => {
    const { hub, eventId } = setUp();
    const { picture } = await watch(hub, [eventId], { checkpointIntervalMs: 10 });
    await waitFor(() => picture.checkpoints.length >= 5);
    expect(picture.checkpoints.at(-1)).toMatchObject({ feedHealthy: true });
  });

  it("ends with the state of the store, at any pace and after any changes (G1, G2, G7)", async () => {
    const step = fc.oneof(
      fc.record({
        op: fc.constant("assign" as const),
        event: fc.nat(1),
        user: fc.nat(3),
        channels: fc.subarray(["a", "b", "c"]),
      }),
      fc.record({ op: fc.constant("read" as const), isReading: fc.boolean() }),
      fc.record({ op: fc.constant("turn" as const) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const { engine, hub } = setUp();
        const events = [randomUUID(), randomUUID()];
        const { sink, picture } = await watch(hub, events);
        for (const next of steps) {
          if (next.op === "read") sink.isReading = next.isReading;
          else if (next.op === "turn") await turn();
          else {
            const eventId = events[next.event] as string;
            const channelIds = next.channels.map((name) => `${eventId}-${name}`);
            await assign(engine, eventId, `u${next.user}`, channelIds);
          }
        }
        sink.isReading = true;
        for (const eventId of events) {
          const state = await engine.loadEvent(eventId);
          await waitFor(() => picture.events.get(eventId)?.revision === state.revision);
          // A first write without channels makes an entry in the store, but no change.
          const written = state.members.filter(({ revision }) => revision > 0);
          const stored = new Map(written.map(({ userId, channelIds }) => [userId, channelIds]));
          const delivered = [...(picture.events.get(eventId)?.users ?? [])].filter(([userId]) => stored.has(userId));
          expect(new Map(delivered)).toEqual(stored);
        }
      }),
      { numRuns: 60 },
    );
  });
});
