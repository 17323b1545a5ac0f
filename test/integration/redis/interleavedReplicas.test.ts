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

/** The updates of one run: a ticket before some of them. */
const published = fc.array(
  fc.record({ user: fc.integer({ min: 0, max: 3 }), channel: fc.integer({ min: 0, max: 3 }), isTicket: fc.boolean() }),
  { minLength: 1, maxLength: 25 },
);
/** A replica: how many updates it misses at first, and the sizes of its batches. */
const replica = fc.record({ missed: fc.nat(10), sizes: fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1 }) });

it("G6: in any interleaving of replicas, what one of them has heard is applied", async () => {
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
          // It begins with the first ticket after what it has missed.
          const openedAt = missed === 0 ? 1 : (updates[missed - 1]?.position.generation ?? generation) + 1;
          const heard = updates.filter(({ position }) => position.generation >= openedAt);
          return { openedAt, heard, next: 0, batch: 0, sizes };
        });
        const takesTurn = (one: (typeof running)[0]) => one.next < one.heard.length;
        while (running.some(takesTurn)) {
          const able = running.filter(takesTurn);
          const one = able[(turns.next().value as number) % able.length] as (typeof running)[0];
          const size = one.sizes[one.batch++ % one.sizes.length] as number;
          await engine.applyMemberships(eventId, one.heard.slice(one.next, one.next + size));
          one.next += size;
        }
        const newest = new Map<string, string[]>();
        const heardFrom = Math.min(...running.map(({ openedAt }) => openedAt));
        for (const { position, userId, channelIds } of updates) {
          if (position.generation >= heardFrom) newest.set(userId, channelIds);
        }
        const { members } = await engine.loadEvent(eventId);
        expect(new Map(members.map(({ userId, channelIds }) => [userId, channelIds]))).toEqual(newest);
      },
    ),
    { numRuns: 60 },
  );
});

it("a batch is told in one message, and a follower hears of each entry in order", async () => {
  const eventId = randomUUID();
  const told: number[] = [];
  const unfollow = await engine.follow(eventId, ({ revision }) => told.push(revision));
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
    await expect.poll(() => told).toEqual(users);
    await expect.poll(() => messages.length).toBe(1);
  } finally {
    unfollow();
    listener.disconnect();
  }
});

it("an update that fails half way leaves a log that goes on (G2)", async () => {
  const eventId = randomUUID();
  await engine.applyMemberships(eventId, [update(1, 1, "a", ["half"])]);
  // Where Squelch keeps what it has learned of the event's channels there is something else.
  await redis.cli("DEL", eventKeys(eventId).channels);
  await redis.cli("SET", eventKeys(eventId).channels, "no set");
  const batch = [update(1, 2, "a", []), update(1, 3, "a", ["half"])];
  await expect(engine.applyMemberships(eventId, batch)).rejects.toThrow(/WRONGTYPE/);
  await redis.cli("DEL", eventKeys(eventId).channels);
  expect(await engine.readPosition(eventId)).toMatchObject({ revision: 2 });
  expect(statusesOf(await engine.applyMemberships(eventId, batch))).toEqual(["stale", "changed"]);
});
