import { randomUUID } from "node:crypto";
import fc from "fast-check";
import { Redis } from "ioredis";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { MembershipUpdate } from "../../../src/domain/ports/membershipStore.js";
import { createRedisEngine, type RedisEngine } from "../../../src/engine/redis/engine.js";
import { eventKeys } from "../../../src/engine/redis/keys.js";
import { createLogger } from "../../../src/lib/logger.js";
import { type RedisServer, startRedis } from "../../support/redis/startRedis.js";

let redis: RedisServer;
let engine: RedisEngine;

beforeAll(async () => {
  redis = await startRedis();
  engine = createRedisEngine({ url: redis.url, logger: createLogger("test", "silent") });
  await engine.start();
});
afterAll(async () => {
  await engine?.close();
  await redis?.stop();
});

function update(generation: number, count: number, userId: string, channelIds: string[]): MembershipUpdate {
  return { userId, channelIds, action: "test", actor: "test", position: { generation, count } };
}

const statusesOf = (outcomes: { status: string }[]) => outcomes.map(({ status }) => status);

/** The updates of one run, with a ticket before some of them. */
const published = fc.array(
  fc.record({ user: fc.integer({ min: 0, max: 3 }), channel: fc.integer({ min: 0, max: 3 }), isTicket: fc.boolean() }),
  { minLength: 1, maxLength: 25 },
);
/** A replica: how many updates it misses at first, and the sizes of its batches. */
const replica = fc.record({ missed: fc.nat(10), sizes: fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1 }) });

it("G6: in any interleaving of replicas, an update that one of them has received is applied", async () => {
  await fc.assert(
    fc.asyncProperty(
      published,
      fc.array(replica, { minLength: 1, maxLength: 3 }),
      fc.infiniteStream(fc.nat(2)),
      async (messages, replicas, turns) => {
        const eventId = randomUUID();
        let generation = 1;
        let count = 0;
        const updates = messages.map(({ user, channel, isTicket }) => {
          if (isTicket) {
            generation++;
            count = 0;
          }
          return update(generation, ++count, `user-${user}`, [`${eventId}-${channel}`]);
        });
        const running = replicas.map(({ missed, sizes }) => {
          // The replica begins with the first ticket after the updates that it missed.
          const openedAt = missed === 0 ? 1 : (updates[missed - 1]?.position.generation ?? generation) + 1;
          const received = updates.filter(({ position }) => position.generation >= openedAt);
          return { openedAt, received, next: 0, batch: 0, sizes };
        });
        const takesTurn = (one: (typeof running)[0]) => one.next < one.received.length;
        while (running.some(takesTurn)) {
          const able = running.filter(takesTurn);
          const one = able[(turns.next().value as number) % able.length] as (typeof running)[0];
          const size = one.sizes[one.batch++ % one.sizes.length] as number;
          await engine.applyMemberships(eventId, one.received.slice(one.next, one.next + size));
          one.next += size;
        }
        const newest = new Map<string, string[]>();
        const receivedFrom = Math.min(...running.map(({ openedAt }) => openedAt));
        for (const { position, userId, channelIds } of updates) {
          if (position.generation >= receivedFrom) newest.set(userId, channelIds);
        }
        const { members } = await engine.loadEvent(eventId);
        expect(new Map(members.map(({ userId, channelIds }) => [userId, channelIds]))).toEqual(newest);
      },
    ),
    { numRuns: 60 },
  );
});

it("a batch is published in one message, and a follower receives each entry in order", async () => {
  const eventId = randomUUID();
  const delivered: number[] = [];
  const unfollow = await engine.follow(eventId, ({ revision }) => delivered.push(revision));
  const listener = new Redis(redis.url);
  try {
    const messages: string[] = [];
    listener.on("message", (_, message: string) => messages.push(message));
    await listener.subscribe(eventKeys(eventId).changes);
    const users = Array.from({ length: 20 }, (_, index) => index + 1);
    await engine.applyMemberships(
      eventId,
      users.map((user) => update(1, user, `user-${user}`, ["told"])),
    );
    await expect.poll(() => delivered).toEqual(users);
    await expect.poll(() => messages.length).toBe(1);
  } finally {
    unfollow();
    listener.disconnect();
  }
});

it("an update that fails half way on a damaged key is applied all the same, and the log goes on (G2)", async () => {
  const eventId = randomUUID();
  await engine.applyMemberships(eventId, [update(1, 1, "a", ["half"])]);
  const before = await engine.readPosition(eventId);
  // The key of the event's channels has a value of another type.
  await redis.cli("DEL", eventKeys(eventId).channels);
  await redis.cli("SET", eventKeys(eventId).channels, "no set");
  const batch = [update(1, 2, "a", []), update(1, 3, "a", ["half"])];
  // The first update was applied before the script failed.
  expect(statusesOf(await engine.applyMemberships(eventId, batch))).toEqual(["stale", "changed"]);
  const { epoch, revision, members } = await engine.loadEvent(eventId);
  expect(epoch).not.toBe(before?.epoch);
  expect({ revision, members }).toMatchObject({ revision: 1, members: [{ userId: "a", channelIds: ["half"] }] });
  expect(await engine.listEventChannels(eventId)).toEqual(["half"]);
});
