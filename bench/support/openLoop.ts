import { setTimeout as sleep } from "node:timers/promises";
import type { Redis } from "ioredis";
import { MEMBERSHIP_UPDATES } from "../../src/engine/redis/keys.js";
import { monotonicUs } from "./clock.js";

/** The usual delay of Node's timers on an idle machine. */
const TIMER_SLACK_US = 2_000;

/**
 * Publishes at a steady rate, however long the answers take, so that a stall shows as delay and not as a lower load.
 * Resolves with the time at which each message was published, µs of `monotonicUs`. For a message that was later than
 * timers usually are, it is the time when the message was due, so that a stall of the publisher is counted too.
 */
export async function publishOpenLoop(
  count: number,
  perSecond: number,
  publish: (sequence: number) => void,
): Promise<number[]> {
  const publishedAtUs: number[] = [];
  const startUs = monotonicUs();
  const dueUs = (sequence: number) => startUs + (sequence * 1e6) / perSecond;
  while (publishedAtUs.length < count) {
    const nowUs = monotonicUs();
    for (let next = publishedAtUs.length; next < count && dueUs(next) <= nowUs; next++) {
      const atUs = monotonicUs();
      publishedAtUs.push(atUs - dueUs(next) > TIMER_SLACK_US ? dueUs(next) : atUs);
      publish(next);
    }
    await sleep(1);
  }
  return publishedAtUs;
}

/** Publishes the control plane's updates at a steady rate. Rejects if Redis rejects one of them. */
export async function publishUpdates(
  redis: Redis,
  { count, perSecond, message }: { count: number; perSecond: number; message(sequence: number): string },
): Promise<number[]> {
  const replies: Promise<number>[] = [];
  const publishedAtUs = await publishOpenLoop(count, perSecond, (sequence) => {
    replies.push(redis.publish(MEMBERSHIP_UPDATES, message(sequence)));
  });
  await Promise.all(replies);
  return publishedAtUs;
}
