import { percentile } from "../report/percentiles.js";
import type { Row } from "../support/scenario.js";
import { type Stack, withStack } from "./stack.js";

/**
 * How much farther Redis may be than it is on one machine, ms: not at all; or on another machine of the same data centre,
 * for which half a millisecond is the usual figure (J. Dean, "Numbers Everyone Should Know", 2009), of which the way
 * there takes some here as well.
 */
export const ON_THIS_MACHINE_MS = 0;
export const IN_THE_DATA_CENTRE_MS = 0.3;

const PINGS = 500;

/** The heading of how far Redis was, as a client of it has measured. */
export const DISTANCE_COLUMN = { roundTripMs: "round trip\nto Redis ms" };

/** Measures at each distance, with a stack of its own. */
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

// The median time that Redis takes to answer a client which asks for nothing.
async function measureRoundTripMs({ redisClient }: Stack): Promise<number> {
  const tookMs: number[] = [];
  for (let ping = 0; ping < PINGS; ping++) {
    const startMs = performance.now();
    await redisClient.ping();
    tookMs.push(performance.now() - startMs);
  }
  return percentile(tookMs, 50);
}
