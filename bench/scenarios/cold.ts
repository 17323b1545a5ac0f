import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  PermissionService,
  WatchPermissionsRequestSchema,
  WatchPermissionsResponseSchema,
} from "../../gen/squelch/v1/permission_service_pb.js";
import { eventKeys } from "../../src/engine/redis/keys.js";
import { type HostPort, parseHostPort } from "../../src/lib/hostPort.js";
import { startChild } from "../../test/support/childProcess.js";
import { sync } from "../../test/support/clients/syncClient.js";
import { connect } from "../../test/support/clients/watchClient.js";
import { type RedisServer, startRedis } from "../../test/support/redis/startRedis.js";
import { type SquelchProcess, spawnSquelch } from "../../test/support/startSquelch.js";
import { openLeanStreams } from "../clients/leanStreams.js";
import { processCpuUs } from "../support/processCpu.js";
import { processMemoryMib } from "../support/processMemory.js";
import type { Row, Scenario } from "../support/scenario.js";

const BYTES_PER_MIB = 2 ** 20;

export interface ColdOptions {
  events: number;
  /** The number of users of each event. */
  users: number;
  /** The number of channels of each user. */
  channels: number;
  /** How long the replica is left idle before its memory is read again, ms. */
  settleMs: number;
}

/** Measures how a replica that has just started serves everything. */
export const cold: Scenario<ColdOptions> = {
  name: "cold",
  title: "Watches all events on a replica that has loaded none, compared with redis-cli that reads the same hashes",
  columns: {
    path: "path",
    events: "events",
    users: "users",
    completeMs: "complete\nafter ms",
    receivedMib: "received\nMiB",
    cpuMs: "server's\nCPU ms",
    rssBeforeMib: "RSS before\nMiB",
    rssPeakMib: "RSS peak\nMiB",
    rssAfterMib: "RSS after\nMiB",
  },
  full: { events: 100, users: 1_000, channels: 10, settleMs: 5_000 },
  smoke: { events: 3, users: 20, channels: 2, settleMs: 0 },

  async run(options) {
    const redis = await startRedis();
    // The cold replica joins another one. Alone it would first have to reconcile the time when no replica was
    // running.
    const replicas = [await spawnSquelch(["--redis-url", redis.url])];
    try {
      const eventIds = await fill(replicas[0] as SquelchProcess, options);
      const replica = await spawnSquelch(["--redis-url", redis.url]);
      replicas.push(replica);
      return [
        await measureWatch("cold replica, first watcher", replica, eventIds, options),
        await measureWatch("same replica, second watcher", replica, eventIds, options),
        await measureRedisCli(redis, eventIds, options),
      ];
    } finally {
      await Promise.all(replicas.map((replica) => replica.stop()));
      await redis.stop();
    }
  },
};

async function fill({ grpcAddress }: SquelchProcess, { events, users, channels }: ColdOptions): Promise<string[]> {
  const eventIds = Array.from({ length: events }, (_, index) => `event-${index}`);
  const client = connect(grpcAddress);
  try {
    for (const eventId of eventIds) {
      const members = Array.from({ length: users }, (_, user) => ({
        userId: `${eventId}-user-${user}`,
        channelIds: Array.from({ length: channels }, (_, index) => `${eventId}-channel-${(user + index) % 100}`).sort(),
      }));
      await sync(client, { eventId, users: members });
    }
  } finally {
    client.close();
  }
  return eventIds;
}

async function measureWatch(
  path: string,
  replica: SquelchProcess,
  eventIds: readonly string[],
  { users, settleMs }: ColdOptions,
): Promise<Row> {
  const before = await processMemoryMib(replica.pid);
  const cpuBeforeUs = await processCpuUs(replica.pid);
  const messages: Buffer[] = [];
  const startMs = performance.now();
  await receiveUntilCheckpoint(replica.grpcAddress, eventIds, messages);
  const completeMs = performance.now() - startMs;
  const cpuUs = (await processCpuUs(replica.pid)) - cpuBeforeUs;
  let received = 0;
  for (const message of messages) {
    const { payload } = fromBinary(WatchPermissionsResponseSchema, message);
    if (payload.case === "snapshot") received += payload.value.users.length;
  }
  if (received !== eventIds.length * users) throw new Error(`${path}: ${received} users were received`);
  await sleep(settleMs);
  const after = await processMemoryMib(replica.pid);
  return {
    path,
    events: eventIds.length,
    users: received,
    completeMs,
    receivedMib: messages.reduce((sum, { length }) => sum + length, 0) / BYTES_PER_MIB,
    cpuMs: cpuUs / 1_000,
    rssBeforeMib: before.now,
    rssPeakMib: after.peak,
    rssAfterMib: after.now,
  };
}

// The first checkpoint shows that every event is complete.
async function receiveUntilCheckpoint(address: string, eventIds: readonly string[], messages: Buffer[]): Promise<void> {
  const { host, port } = parseHostPort(address) as HostPort;
  const { method, typeName } = PermissionService;
  const request = create(WatchPermissionsRequestSchema, { eventIds: [...eventIds] });
  const checkpointTag = (WatchPermissionsResponseSchema.field.checkpoint.number << 3) | 2;
  await new Promise<void>((resolve, reject) => {
    const opening = openLeanStreams({
      host,
      port,
      path: `/${typeName}/${method.watchPermissions.name}`,
      request: toBinary(WatchPermissionsRequestSchema, request),
      streams: 1,
      onMessage: (_stream, message) => {
        messages.push(message);
        if (message[0] !== checkpointTag) return;
        opening.then((socket) => socket.destroy(), reject);
        resolve();
      },
      onEnd: reject,
    });
    opening.catch(reject);
  });
}

// One client on one connection sends one HGETALL after the other without a pause.
async function measureRedisCli(redis: RedisServer, eventIds: readonly string[], { users }: ColdOptions): Promise<Row> {
  const cpuBeforeUs = await processCpuUs(redis.pid);
  const startMs = performance.now();
  const child = await startChild("redis-cli", ["-p", `${redis.port}`], { stdio: ["pipe", "pipe", "inherit"] });
  let bytes = 0;
  let lines = 0;
  child.stdout?.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
    for (let at = chunk.indexOf("\n"); at !== -1; at = chunk.indexOf("\n", at + 1)) lines++;
  });
  child.stdin?.end(eventIds.map((eventId) => `HGETALL ${eventKeys(eventId).members}\n`).join(""));
  await once(child, "close");
  const completeMs = performance.now() - startMs;
  const received = lines / 2;
  if (received !== eventIds.length * users) throw new Error(`redis-cli: ${received} users were received`);
  return {
    path: "redis-cli, HGETALL of each",
    events: eventIds.length,
    users: received,
    completeMs,
    receivedMib: bytes / BYTES_PER_MIB,
    cpuMs: ((await processCpuUs(redis.pid)) - cpuBeforeUs) / 1_000,
  };
}
