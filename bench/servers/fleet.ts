import { Redis } from "ioredis";
import { type RedisServer, startRedis } from "../../test/support/redis/startRedis.js";
import { type SquelchProcess, spawnSquelch } from "../../test/support/startSquelch.js";

/** A Redis and several replicas, each in its own process, with a client of that Redis. */
export interface Fleet {
  readonly redis: RedisServer;
  readonly redisClient: Redis;
  readonly replicas: readonly SquelchProcess[];
  /** The addresses of all replicas. A replica keeps its address when it restarts. */
  readonly addresses: readonly string[];
  /** Ends a replica with a signal and starts it again. */
  restart(replica: number, signal: NodeJS.Signals): Promise<void>;
  /** For each router id, the replica on which the router opened its newest watch. */
  placements(): Map<string, number>;
}

/** Calls `use` with a fleet and stops it afterwards. */
export async function withFleet<T>(size: number, use: (fleet: Fleet) => Promise<T>): Promise<T> {
  const redis = await startRedis();
  const replicas: SquelchProcess[] = [];
  try {
    // Each replica has its own host, so that no outgoing connection can take its port while the port is free.
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
