import { credentials } from "@grpc/grpc-js";
import { Redis } from "ioredis";
import { createRedisEngine, type RedisEngine } from "../../src/engine/redis/engine.js";
import { GrpcClient } from "../../src/lib/grpcService.js";
import { createLogger } from "../../src/lib/logger.js";
import { type RedisServer, startRedis } from "../../test/support/redis/startRedis.js";
import { type SquelchProcess, spawnSquelch } from "../../test/support/startSquelch.js";
import { withDistance } from "./distance.js";

/** A Redis and a replica, each a process of its own, with a client of each. */
export interface Stack {
  readonly redis: RedisServer;
  /** Where all the others reach it. */
  readonly redisUrl: string;
  readonly replica: SquelchProcess;
  /** As a control plane or a public router has it. */
  readonly redisClient: Redis;
  /** As a router has it. */
  readonly grpcClient: GrpcClient;
}

/**
 * Calls `use` with a stack and stops it afterwards.
 *
 * @param redisRoundTripMs how far Redis is away from all others, in addition to what it is on one machine
 */
export async function withStack<T>(use: (stack: Stack) => Promise<T>, redisRoundTripMs = 0): Promise<T> {
  const redis = await startRedis();
  try {
    return await withDistance(redis.port, redisRoundTripMs, async (port) => {
      const redisUrl = `redis://127.0.0.1:${port}`;
      const replica = await spawnSquelch(["--redis-url", redisUrl]);
      const redisClient = new Redis(redisUrl);
      const grpcClient = new GrpcClient(replica.grpcAddress, credentials.createInsecure());
      try {
        return await use({ redis, redisUrl, replica, redisClient, grpcClient });
      } finally {
        grpcClient.close();
        redisClient.disconnect();
        await replica.stop();
      }
    });
  } finally {
    await redis.stop();
  }
}

/** Calls `use` with an engine inside this process, on the stack's Redis, and closes it afterwards. */
export async function withEngine<T>(
  { redisUrl }: Pick<Stack, "redisUrl">,
  use: (engine: RedisEngine) => Promise<T>,
): Promise<T> {
  const engine = createRedisEngine({ url: redisUrl, logger: createLogger("bench", "warn") });
  try {
    await engine.start();
    return await use(engine);
  } finally {
    await engine.close();
  }
}
