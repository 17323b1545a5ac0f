import { setTimeout as sleep } from "node:timers/promises";
import { monotonicUs } from "../support/clock.js";
import { percentile } from "../support/percentiles.js";
import { processCpuUs } from "../support/processCpu.js";
import { type StreamSource, sequencedUpdate } from "../support/receiverProtocol.js";
import { Receivers } from "../support/receivers.js";
import type { Row, Scenario } from "../support/scenario.js";
import { type Stack, withStack } from "../support/stack.js";

const HOST = "127.0.0.1";
const MEMBERSHIP_UPDATES = "vp:membership_updates";
/** A channel that the replica does not listen to: while plain Redis is measured, the replica has nothing to do. */
const PEER_CHANNEL = "bench:membership_updates";
/** How long the last messages may take to arrive; what is not there by then is missing. */
const ARRIVAL_TIMEOUT_MS = 10_000;

export interface LatencyOptions {
  /** WatchPermissions streams, and plain subscribers beside them. */
  watchers: number;
  /** Connections that the streams share. */
  connections: number;
  /** Changes that are measured. */
  changes: number;
  /** Changes before them that are not. */
  warmUpChanges: number;
  changesPerSecond: number;
}

/** From PUBLISH to receipt, one change at a time. */
export const latency: Scenario<LatencyOptions> = {
  name: "latency",
  title: "From PUBLISH on vp:membership_updates to receipt by every watcher, beside plain Redis subscribers",
  columns: {
    path: "path",
    receivers: "receivers",
    connections: "connections",
    changes: "changes",
    deliveries: "deliveries",
    missing: "missing",
    repeated: "repeated",
    p50Ms: "p50 ms",
    p99Ms: "p99 ms",
    maxMs: "max ms",
    redisCpuUs: "Redis CPU\nµs/delivery",
    replicaCpuUs: "replica CPU\nµs/delivery",
  },
  full: { watchers: 1_000, connections: 20, changes: 100, warmUpChanges: 40, changesPerSecond: 20 },
  smoke: { watchers: 12, connections: 3, changes: 5, warmUpChanges: 2, changesPerSecond: 50 },

  run: (options) =>
    withStack(async (stack) => {
      const { watchers, connections } = options;
      const redis = { kind: "redis", host: HOST, port: stack.redis.port, channel: PEER_CHANNEL } as const;
      const squelch = {
        kind: "squelch",
        host: HOST,
        port: Number(stack.replica.grpcAddress.split(":").at(-1)),
      } as const;
      const receivers = await Receivers.start();
      try {
        const sources: [path: string, source: StreamSource][] = [
          ["Redis, one plain subscriber", { ...redis, receivers: 1 }],
          ["Redis, plain subscribers", { ...redis, receivers: watchers }],
          ["Squelch, one watcher", { ...squelch, receivers: 1, connections: 1, eventId: "one-watcher" }],
          ["Squelch, watchers", { ...squelch, receivers: watchers, connections, eventId: "many-watchers" }],
        ];
        const rows: Row[] = [];
        for (const [path, source] of sources) rows.push(await measure(path, source, options, receivers, stack));
        return rows;
      } finally {
        await receivers.close();
      }
    }),
};

async function measure(
  path: string,
  source: StreamSource,
  options: LatencyOptions,
  receivers: Receivers,
  stack: Stack,
): Promise<Row> {
  const { changes, warmUpChanges } = options;
  const sequences = warmUpChanges + changes;
  const [channel, eventId] =
    source.kind === "redis" ? [source.channel, "plain-redis"] : [MEMBERSHIP_UPDATES, source.eventId];
  const publishedAtUs: number[] = [];
  const publish = async (until: number) => {
    const replies: Promise<number>[] = [];
    for (const startMs = performance.now(), first = publishedAtUs.length; publishedAtUs.length < until; ) {
      const sequence = publishedAtUs.length;
      const update = sequencedUpdate(eventId, sequence);
      publishedAtUs.push(monotonicUs());
      replies.push(stack.redisClient.publish(channel, update));
      const nextMs = startMs + ((sequence + 1 - first) * 1_000) / options.changesPerSecond;
      await sleep(nextMs - performance.now());
    }
    await Promise.all(replies);
    await receivers.waitFor(until * source.receivers, ARRIVAL_TIMEOUT_MS);
  };
  const readCpuUs = () => Promise.all([processCpuUs(stack.redis.pid), processCpuUs(stack.replica.pid)]);

  await receivers.open(source, sequences);
  await publish(warmUpChanges);
  const [redisBeforeUs, replicaBeforeUs] = await readCpuUs();
  await publish(sequences);
  const [redisAfterUs, replicaAfterUs] = await readCpuUs();
  const { receivedAtUs, repeated } = await receivers.collect();

  const delaysMs: number[] = [];
  for (let index = warmUpChanges * source.receivers; index < receivedAtUs.length; index++) {
    const sentUs = publishedAtUs[Math.floor(index / source.receivers)] as number;
    const receivedUs = receivedAtUs[index] as number;
    if (receivedUs === 0) continue;
    if (receivedUs < sentUs) throw new Error(`${path}: a message arrived before it was published`);
    delaysMs.push((receivedUs - sentUs) / 1_000);
  }
  const deliveries = delaysMs.length;
  if (deliveries === 0) throw new Error(`${path}: nothing arrived`);
  return {
    path,
    receivers: source.receivers,
    connections: source.kind === "redis" ? source.receivers : source.connections,
    changes,
    deliveries,
    missing: receivedAtUs.filter((atUs) => atUs === 0).length,
    repeated,
    p50Ms: percentile(delaysMs, 50),
    p99Ms: percentile(delaysMs, 99),
    maxMs: percentile(delaysMs, 100),
    redisCpuUs: (redisAfterUs - redisBeforeUs) / deliveries,
    replicaCpuUs: source.kind === "squelch" ? (replicaAfterUs - replicaBeforeUs) / deliveries : undefined,
  };
}
