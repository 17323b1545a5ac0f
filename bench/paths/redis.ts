import { Redis } from "ioredis";
import { INGEST_APPLIED, MEMBERSHIP_UPDATES } from "../../src/engine/redis/keys.js";
import { type RedisServer, startRedis } from "../../test/support/redis/startRedis.js";
import { spawnSquelch } from "../../test/support/startSquelch.js";
import { waitFor } from "../../test/support/waitFor.js";
import { type StreamSource, sequencedUpdate } from "../clients/receiverProtocol.js";
import type { Path } from "./path.js";

const HOST = "127.0.0.1";

/** Starts Redis pub/sub without Squelch. */
export async function startRedisPath(): Promise<Path> {
  const redis = await startRedis();
  const { publish, settle, disconnect } = createPublisher(redis);
  return {
    name: "Redis pub/sub",
    servers: [{ name: "Redis", pid: redis.pid }],
    source: (eventId, receivers) => ({ kind: "redis", host: HOST, port: redis.port, eventId, receivers }),
    publish: (eventId, sequence) => publish(eventId, sequencedUpdate(eventId, sequence)),
    settle,
    async close() {
      disconnect();
      await redis.stop();
    },
  };
}

export interface SquelchPath extends Path {
  /** The gRPC address of the replica. */
  readonly address: string;
  readonly redisUrl: string;
  /** Returns the source of an event's changes for streams that do little work. */
  streams(eventId: string, receivers: number, connections: number): StreamSource;
}

/** A replica, and a Redis to which the control plane publishes. */
export async function startSquelchPath(): Promise<SquelchPath> {
  const redis = await startRedis();
  const replica = await spawnSquelch(["--redis-url", redis.url]);
  // A replica that finds no watermark first compares all memberships with the control plane's keys.
  const isReconciled = async () => (await redis.cli("EXISTS", INGEST_APPLIED)) === "1";
  await waitFor(isReconciled, { timeoutMs: 30_000, message: "the replica to have reconciled" });
  const { publish, settle, disconnect } = createPublisher(redis);
  const port = Number(replica.grpcAddress.split(":").at(-1));
  const streams = (eventId: string, receivers: number, connections: number): StreamSource => ({
    ...{ kind: "squelch", host: HOST, port, eventId, receivers, connections },
  });
  return {
    name: "Squelch",
    address: replica.grpcAddress,
    redisUrl: redis.url,
    servers: [
      { name: "Redis", pid: redis.pid },
      { name: "replica", pid: replica.pid },
    ],
    streams,
    source: streams,
    publish: (eventId, sequence) => publish(MEMBERSHIP_UPDATES, sequencedUpdate(eventId, sequence)),
    settle,
    async close() {
      disconnect();
      await replica.stop();
      await redis.stop();
    },
  };
}

function createPublisher(redis: RedisServer) {
  const client = new Redis(redis.url);
  let replies: Promise<unknown>[] = [];
  return {
    publish: (channel: string, message: string) => void replies.push(client.publish(channel, message)),
    async settle() {
      await Promise.all(replies);
      replies = [];
    },
    disconnect: () => client.disconnect(),
  };
}
