import type { Redis } from "ioredis";
import { percentile } from "../report/percentiles.js";
import type { Stack } from "../servers/stack.js";
import { measureLongestCommandUs } from "./commandTimes.js";
import { processCpuUs } from "./processCpu.js";
import type { Row } from "./scenario.js";

/** One of several ways to reach the same result. */
export interface Way {
  name: string;
  /** Runs the measured work. Resolves with the number of channels that it changed or read. */
  run(): Promise<number>;
  /** Called after each run. Resolves with the number of channels that are in the expected state. */
  check?(): Promise<number>;
  /** Cleans up after the check. */
  undo?(): Promise<unknown>;
}

export interface RoundsOptions {
  /** The number of measured rounds. */
  rounds: number;
  /** The number of rounds before them that are not measured. */
  warmUpRounds: number;
}

/** The headings of the rows of {@link measureWays}. */
export const WAY_COLUMNS = {
  way: "way",
  channels: "channels",
  rounds: "rounds",
  medianMs: "median ms",
  p99Ms: "p99 ms",
  timesFaster: "times\nfaster",
  longestCommandUs: "longest Redis\ncommand µs",
  redisCpuMs: "Redis\nCPU ms",
};

interface Sample {
  elapsedMs: number;
  longestCommandUs: number | undefined;
  redisCpuUs: number;
}

/**
 * Measures the ways in turn in each round, so that a disturbance of the machine affects all of them. Returns one row
 * per way. Rejects if a way did not cover all channels.
 */
export async function measureWays(
  { redis, redisClient }: Pick<Stack, "redis" | "redisClient">,
  channels: number,
  prepare: () => Promise<void>,
  ways: readonly Way[],
  { rounds, warmUpRounds }: RoundsOptions,
): Promise<Row[]> {
  const samples = new Map(ways.map(({ name }) => [name, [] as Sample[]]));
  for (let round = -warmUpRounds; round < rounds; round++) {
    for (const way of ways) {
      await prepare();
      const sample = await measureOnce(redisClient, redis.pid, way, channels);
      const right = (await way.check?.()) ?? channels;
      if (right !== channels)
        throw new Error(`${way.name}: ${channels - right} channels are not in the expected state`);
      await way.undo?.();
      if (round >= 0) samples.get(way.name)?.push(sample);
    }
  }
  const medianOf = (measured: readonly Sample[]) =>
    percentile(
      measured.map(({ elapsedMs }) => elapsedMs),
      50,
    );
  const slowestMs = Math.max(...[...samples.values()].map(medianOf));
  return [...samples].map(([way, measured]) => {
    const longestUs = measured.flatMap(({ longestCommandUs }) => longestCommandUs ?? []);
    const elapsedMs = measured.map((sample) => sample.elapsedMs);
    return {
      way,
      channels,
      rounds,
      medianMs: percentile(elapsedMs, 50),
      p99Ms: percentile(elapsedMs, 99),
      timesFaster: slowestMs / percentile(elapsedMs, 50),
      longestCommandUs: longestUs.length > 0 ? percentile(longestUs, 50) : undefined,
      redisCpuMs:
        percentile(
          measured.map(({ redisCpuUs }) => redisCpuUs),
          50,
        ) / 1_000,
    };
  });
}

async function measureOnce(redisClient: Redis, redisPid: number, way: Way, channels: number): Promise<Sample> {
  let done = 0;
  let elapsedMs = 0;
  let redisCpuUs = 0;
  const longestCommandUs = await measureLongestCommandUs(redisClient, async () => {
    const cpuBeforeUs = await processCpuUs(redisPid);
    const startMs = performance.now();
    done = await way.run();
    elapsedMs = performance.now() - startMs;
    redisCpuUs = (await processCpuUs(redisPid)) - cpuBeforeUs;
  });
  if (done !== channels) throw new Error(`${way.name}: did ${done} of ${channels} channels`);
  return { elapsedMs, longestCommandUs, redisCpuUs };
}
