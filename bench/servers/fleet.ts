import { Redis } from "ioredis";
import { type RedisServer, startRedis } from "../../test/support/redis/startRedis.js";
import { type SquelchProcess, spawnSquelch } from "../../test/support/startSquelch.js";

/** A Redis and several replicas, each a process of its own, with a client of that Redis. */
export interface Fleet {
  readonly redis: RedisServer;
  readonly redisClient: Redis;
  readonly replicas: readonly SquelchProcess[];
  /** Of all replicas; each keeps its own for ever. */
  readonly addresses: readonly string[];
  /** Ends a replica by a signal and starts it again. */
  restart(replica: number, signal: NodeJS.Signals): Promise<void>;
  /** Which replica each router opened its newest watch on, by its id. */
  placements(): Map<string, number>;
}

/** Calls `use` with a fleet and stops it afterwards. */
export async function withFleet<T>(size: number, use: (fleet: Fleet) => Promise<T>): Promise<T> {
  const redis = await startRedis();
  const replicas: SquelchProcess[] = [];
  try {
    // Each on a host of its own, so that no connection to a port that is free for the moment takes that very port.
    for (let index = 0; index < size; index++) replicas.push(await spawn(redis, `127.0.0.${index + 2}:0`));
    const redisClient = new Redis(redis.url);
    const addresses = replicas.map(({ grpcAddress }) => grpcAddress);
    try {
      return await use({
        redis,
        redisClient,
        replicas,
        addresses,
        async restart(replica, signal) {
          const leaving = replicas[replica] as SquelchProcess;
          leaving.kill(signal);
          await leaving.exited;
          replicas[replica] = await spawn(redis, leaving.grpcAddress);
        },
        placements: () => readPlacements(replicas),
      });
    } finally {
      redisClient.disconnect();
    }
  } finally {
    await Promise.all(replicas.map((replica) => replica.stop()));
    await redis.stop();
  }
}

function spawn(redis: RedisServer, grpcAddress: string): Promise<SquelchProcess> {
  return spawnSquelch(["--redis-url", redis.url, "--grpc-address", grpcAddress]);
}

function readPlacements(replicas: readonly SquelchProcess[]): Map<string, number> {
  const newest = new Map<string, { replica: number; time: number }>();
  for (const [replica, { lines }] of replicas.entries()) {
    for (const line of lines) {
      if (!line.includes('"msg":"watch opened"')) continue;
      const { routerId, time } = JSON.parse(line) as { routerId: string; time: number };
      if (time >= (newest.get(routerId)?.time ?? 0)) newest.set(routerId, { replica, time });
    }
  }
  return new Map([...newest].map(([routerId, { replica }]) => [routerId, replica]));
}
