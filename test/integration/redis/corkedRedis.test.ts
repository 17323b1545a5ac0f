import { afterAll, beforeAll, expect, it } from "vitest";
import { Connections } from "../../../src/engine/redis/connection/connections.js";
import type { CorkedRedis } from "../../../src/engine/redis/connection/corkedRedis.js";
import { createLogger } from "../../../src/lib/logger.js";
import { type RedisServer, startRedis } from "../../support/redis/startRedis.js";

let redis: RedisServer;

beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis?.stop());

it("commands of one turn of the event loop are written together, and each is answered", async () => {
  const connection = new Connections(redis.url, createLogger("test", "silent")).commands as CorkedRedis;
  try {
    await connection.connect();
    const { stream } = connection;
    const written: number[] = [];
    const writev = stream._writev?.bind(stream);
    stream._writev = (chunks, callback) => {
      written.push(chunks.length);
      writev?.(chunks, callback);
    };
    const answers = await Promise.all(Array.from({ length: 50 }, (_, index) => connection.echo(`${index}`)));
    expect(answers).toEqual(Array.from({ length: 50 }, (_, index) => `${index}`));
    expect(written).toEqual([50]);
    expect(await connection.echo("alone")).toBe("alone");
  } finally {
    connection.disconnect();
  }
});
