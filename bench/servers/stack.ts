import { credentials } from "@grpc/grpc-js";
import { Redis } from "ioredis";
import { createRedisEngine, type RedisEngine } from "../../src/engine/redis/engine.js";
import { GrpcClient } from "../../src/lib/grpcService.js";
import { createLogger } from "../../src/lib/logger.js";
import { type RedisServer, startRedis } from "../../test/support/redis/startRedis.js";
import { type SquelchProcess, spawnSquelch } from "../../test/support/startSquelch.js";
import { withDistance } from "./distance.js";

/** A Redis and a replica, each in its own process, with a client of each. */
export interface Stack {
  readonly redis: RedisServer;
  /** The URL of Redis for every process that uses it. */
  readonly redisUrl: string;
  readonly replica: SquelchProcess;
  /** A client of Redis with the same distance as a control plane or a public router. */
  readonly redisClient: Redis;
  /** A client of the replica with the same distance as a router. */
  readonly grpcClient: GrpcClient;
}

/**
 * Calls `use` with a stack and stops the stack afterwards.
 *
 * @param redisRoundTripMs the additional round trip between Redis and all other processes
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

/** Calls `use` with an engine that runs in this process on the stack's Redis, and closes the engine afterwards. */
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
