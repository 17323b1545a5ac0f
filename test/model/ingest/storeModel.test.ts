import fc from "fast-check";
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, test } from "vitest";
import { createRedisEngine } from "../../../src/engine/redis/engine.js";
import { createLogger } from "../../../src/lib/logger.js";
import { type RedisServer, startRedis } from "../../support/redis/startRedis.js";
import { createEngineWithTicketsApart } from "../../support/redis/ticketsApart.js";
import { waitFor } from "../../support/waitFor.js";
import { command, type Engines, SideBySide } from "./sideBySide.js";

const SEQUENCES = 300;
const SEED = Number(process.env.MODEL_SEED ?? Math.floor(Math.random() * 2 ** 31));

let redis: RedisServer;
let client: Redis;
let engines: Engines;

beforeAll(async () => {
  redis = await startRedis();
  client = new Redis(redis.url);
  engines = {
    together: createRedisEngine({ url: redis.url, logger: createLogger("test", "silent") }),
    apart: createEngineWithTicketsApart(redis.url, (ticket) => engines.onTicket(ticket)),
    onTicket: async () => {},
  };
  for (const engine of [engines.together, engines.apart]) {
    await engine.start();
    await waitFor(() => engine.feedHealth().healthy, { message: "a healthy feed" });
  }
});
afterAll(async () => {
  await engines?.apart.close();
  await engines?.together.close();
  client?.disconnect();
  await redis?.stop();
});

describe("the model and the scripts agree", () => {
  test("G6: on the result of writes in any order, repeats, reconciles, seeds, writes over RPC and syncs, with both sources of tickets", async () => {
    let commands = 0;
    const property = fc.asyncProperty(fc.array(command, { minLength: 1, maxLength: 12, size: "max" }), async (list) => {
      const both = new SideBySide(engines, client);
      await both.begin();
      for (const next of list) {
        await both.run(next);
        await both.compare();
      }
      await both.compareLog();
      commands += list.length;
    });
    const begun = performance.now();
    await fc.assert(property, { numRuns: SEQUENCES, seed: SEED });
    const seconds = ((performance.now() - begun) / 1_000).toFixed(1);
    console.log(`${SEQUENCES} sequences of ${commands} commands in ${seconds} s, seed ${SEED}`);
  }, 120_000);
});
