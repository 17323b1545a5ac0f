import { Redis } from "ioredis";
import type { GrpcClient } from "../../../src/lib/grpcService.js";
import type { Replica } from "../../../src/server/start.js";
import { connect } from "../clients/watchClient.js";
import { startSquelch } from "../startSquelch.js";
import { startRedis } from "./startRedis.js";

/** Two replicas on one new Redis. */
export interface ReplicaPair {
  /** A connection of another program to the Redis. */
  other: Redis;
  replicas: [Replica, Replica];
  /** A client of each replica, in the order of the replicas. */
  clients: [GrpcClient, GrpcClient];
  /** Stops everything. */
  close(): Promise<void>;
}

/** Starts two replicas on one new Redis. */
export async function startReplicaPair(): Promise<ReplicaPair> {
  const redis = await startRedis();
  const other = new Redis(redis.url);
  const start = () => startSquelch({ redisUrl: redis.url });
  const replicas = await Promise.all([start(), start()]);
  const clients: [GrpcClient, GrpcClient] = [connect(replicas[0].grpcAddress), connect(replicas[1].grpcAddress)];
  return {
    other,
    replicas,
    clients,
    async close() {
      for (const client of clients) client.close();
      other.disconnect();
      await Promise.all(replicas.map((replica) => replica.close()));
      await redis.stop();
    },
  };
}
