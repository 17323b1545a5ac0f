import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, it } from "vitest";
import { createRedisEngine, type RedisEngine } from "../../../src/engine/redis/engine.js";
import { createLogger } from "../../../src/lib/logger.js";
import { type RedisServer, startRedis } from "../../support/redis/startRedis.js";

let redis: RedisServer;
let engine: RedisEngine;
let other: RedisEngine;

beforeAll(async () => {
  redis = await startRedis();
  [engine, other] = [0, 1].map(() => createRedisEngine({ url: redis.url, logger: createLogger("test", "silent") })) as [
    RedisEngine,
    RedisEngine,
  ];
  await Promise.all([engine.start(), other.start()]);
});
afterAll(async () => {
  await engine?.close();
  await other?.close();
  await redis?.stop();
});

const request = { userName: "U", sessionId: "", priority: "normal", talkTimeMs: 30_000, leaseTimeMs: 30_000 } as const;

it("G7: a replica that remembers the event of a channel follows the channel into the event to which another replica has moved it", async () => {
  const [from, to, channelId] = [randomUUID(), randomUUID(), randomUUID()];
  const admit = (eventId: string, userId: string) =>
    engine.setUserChannels({
      ...{ eventId, userId, channelIds: [channelId] },
      ...{ action: "test", actor: "test", onlyIfUnknown: false },
    });
  const press = (userId: string) => engine.startPtt({ ...request, channelId, userId, actor: userId });

  await admit(from, "before");
  expect(await press("before")).toMatchObject({ granted: true, eventId: from });
  await other.setChannelEvent(channelId, to, "test", false);
  await admit(to, "after");
  expect(await press("before")).toMatchObject({ granted: false, cause: "receiveOnly" });
  const granted = await press("after");
  expect(granted).toMatchObject({ granted: true, eventId: to });
  if (!granted.granted) return;
  await other.setChannelEvent(channelId, from, "test", false);
  await expect(engine.stopPtt(channelId, granted)).rejects.toMatchObject({ code: "failedPrecondition" });
  expect(await press("before")).toMatchObject({ granted: true, eventId: from });
});
