import { setTimeout as sleep } from "node:timers/promises";
import type { Redis } from "ioredis";
import { monotonicUs } from "./clock.js";

/** What is published, and how fast. */
export interface OpenLoop {
  channel: string;
  /** How many messages. */
  count: number;
  perSecond: number;
  message(sequence: number): string;
}

/**
 * Publishes at a steady rate whatever the answers take, so that a stall shows as delay and not as less load. Resolves
 * with when each message was published, µs of `monotonicUs`.
 */
export async function publishOpenLoop(
  redis: Redis,
  { channel, count, perSecond, message }: OpenLoop,
): Promise<number[]> {
  const publishedAtUs: number[] = [];
  const replies: Promise<number>[] = [];
  const startMs = performance.now();
  while (publishedAtUs.length < count) {
    const due = Math.min(1 + Math.floor(((performance.now() - startMs) * perSecond) / 1_000), count);
    while (publishedAtUs.length < due) {
      const text = message(publishedAtUs.length);
      publishedAtUs.push(monotonicUs());
      replies.push(redis.publish(channel, text));
    }
    await sleep(1);
  }
  await Promise.all(replies);
  return publishedAtUs;
}
