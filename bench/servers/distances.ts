import { percentile } from "../report/percentiles.js";
import type { Row } from "../support/scenario.js";
import { type Stack, withStack } from "./stack.js";

/**
 * The additional distance of Redis, ms: either none, or that of another machine in the same data centre. The usual
 * figure for that is half a millisecond (J. Dean, "Numbers Everyone Should Know", 2009), and the local path already
 * takes a part of it.
 */
export const ON_THIS_MACHINE_MS = 0;
export const IN_THE_DATA_CENTRE_MS = 0.3;

const PINGS = 500;

/** The heading of the round trip to Redis that a client has measured. */
export const DISTANCE_COLUMN = { roundTripMs: "round trip\nto Redis ms" };

/** Runs a measurement at each distance, each time with new servers. */
export async function measureAtDistances<D extends { roundTripMs: number }>(
  distances: readonly D[],
  measure: (stack: Stack, distance: D) => Promise<Row[]>,
): Promise<Row[]> {
  const rows: Row[] = [];
  for (const distance of distances) {
    const measured = await withStack(async (stack) => {
      const roundTripMs = await measureRoundTripMs(stack);
      return (await measure(stack, distance)).map((row) => ({ ...row, roundTripMs }));
    }, distance.roundTripMs);
    rows.push(...measured);
  }
  return rows;
}

// The median time that Redis takes to answer a client that sends only PING.
async function measureRoundTripMs({ redisClient }: Stack): Promise<number> {
  const tookMs: number[] = [];
  for (let ping = 0; ping < PINGS; ping++) {
    const startMs = performance.now();
    await redisClient.ping();
    tookMs.push(performance.now() - startMs);
  }
  return percentile(tookMs, 50);
}
