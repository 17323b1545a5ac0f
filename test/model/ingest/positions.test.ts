import fc from "fast-check";
import { Redis } from "ioredis";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Position } from "../../../src/domain/cursor.js";
import { INGEST, MEMBERSHIP_UPDATES } from "../../../src/engine/redis/keys.js";
import { createLogger } from "../../../src/lib/logger.js";
import { PermissionSyncManager } from "../../../src/server/state/permissionSync.js";
import { type RedisServer, startRedis } from "../../support/redis/startRedis.js";
import { waitFor } from "../../support/waitFor.js";
import { type Message, RedisModel } from "./redisModel.js";
import { EARLY_COUNT, ReplicaModel } from "./replicaModel.js";

const MESSAGES = 3_000;
const SEED = Number(process.env.MODEL_SEED ?? Math.floor(Math.random() * 2 ** 31));

let redis: RedisServer;
let publisher: Redis;

beforeAll(async () => {
  redis = await startRedis();
  publisher = new Redis(redis.url);
});
afterAll(async () => {
  publisher?.disconnect();
  await redis?.stop();
});

type Kind = Message["kind"];

const kind = fc.oneof(
  { weight: 6, arbitrary: fc.constant<Kind>("update") },
  { weight: 2, arbitrary: fc.constant<Kind>("malformed") },
  { weight: 1, arbitrary: fc.constant<Kind>("ticket") },
);

/** Returns the stream of a Redis in which messages of these kinds were published. */
function publishInModel(kinds: readonly Kind[]): RedisModel {
  const model = new RedisModel(new Set());
  for (const [index, next] of kinds.entries()) {
    if (next === "ticket") model.takeTicket();
    else if (next === "malformed") model.stream.push({ kind: next });
    else model.publish("e", `user-${index}`, []);
  }
  return model;
}

async function publishInRedis(stream: readonly Message[]): Promise<void> {
  const pipeline = publisher.pipeline();
  for (const message of stream) {
    if (message.kind === "ticket") pipeline.publish(INGEST, `${message.generation}`);
    else if (message.kind === "malformed") pipeline.publish(MEMBERSHIP_UPDATES, "junk");
    else {
      const { eventId, userId } = message.publication;
      pipeline.publish(MEMBERSHIP_UPDATES, JSON.stringify({ eventId, userId, channelIds: [] }));
    }
  }
  await pipeline.exec();
}

test("G6: a replica and the model give each update of a stream the same position", async () => {
  const received: { userId: string; position: Position | undefined }[] = [];
  const sync = new PermissionSyncManager(
    (userId, _event, _channels, _action, position) => received.push({ userId, position }),
    { redisUrl: redis.url, logger: createLogger("test", "silent") },
  );
  await sync.start();
  await waitFor(() => sync.isConnected());

  // The first updates come before any ticket: they have no position.
  const kinds: Kind[] = ["update", "malformed", "update", ...fc.sample(kind, { numRuns: MESSAGES, seed: SEED })];
  const model = publishInModel(kinds);
  await publishInRedis(model.stream);
  const updates = kinds.filter((next) => next === "update").length;
  await waitFor(() => received.length === updates, { message: `${updates} updates, seed ${SEED}` });
  await sync.stop();

  const replica = new ReplicaModel(model, true, () => true);
  replica.connect();
  replica.connection = { next: 0 };
  while (replica.receive());
  const placed = received.filter(({ position }) => position !== undefined);
  expect(placed.length).toBeLessThan(updates);
  const counted = replica.queue.filter(({ position }) => position.count !== EARLY_COUNT);
  expect(placed).toEqual(counted.map(({ publication, position }) => ({ userId: publication.userId, position })));
});
