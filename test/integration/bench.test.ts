import { expect, test } from "vitest";
import { runProgram } from "../support/childProcess.js";

interface Result {
  scenario: string;
  environment: Record<string, unknown>;
  rows: Record<string, string | number>[];
}

async function runBench(...args: string[]): Promise<string> {
  return runProgram(process.execPath, ["--import", "tsx", "bench/main.ts", ...args], { timeoutMs: 110_000 });
}

async function runSmoke(...scenarios: string[]): Promise<Result[]> {
  const lines = (await runBench(...scenarios, "--smoke", "--json")).trimEnd().split("\n");
  const results = lines.map((line) => JSON.parse(line) as Result);
  expect(results.map(({ scenario }) => scenario)).toEqual(scenarios);
  return results;
}

test("the benchmarks run: each receiver gets each message, each way does every channel", async () => {
  const [latency, pause, speakers] = await runSmoke("latency", "pause", "speakers");
  expect(latency?.environment).toMatchObject({ node: process.version, redis: expect.stringMatching(/^\d+\.\d+/) });

  const received = latency?.rows.map(({ receivers, changes, deliveries, missing, repeated }) => {
    return { isComplete: deliveries === Number(receivers) * Number(changes), receivers, missing, repeated };
  });
  const complete = { isComplete: true, missing: 0, repeated: 0 };
  expect(received).toEqual([1, 12, 1, 12].map((receivers) => ({ ...complete, receivers })));
  for (const { p50Ms, p99Ms, maxMs } of latency?.rows ?? []) {
    expect(p50Ms).toBeGreaterThan(0);
    expect(p99Ms).toBeGreaterThanOrEqual(Number(p50Ms));
    expect(maxMs).toBeGreaterThanOrEqual(Number(p99Ms));
  }

  for (const result of [pause, speakers]) {
    const measured = result?.rows.map(({ channels, rounds }) => ({ channels, rounds }));
    expect(measured).toEqual(Array(3).fill({ channels: 3, rounds: 2 }));
    for (const { medianMs } of result?.rows ?? []) expect(medianMs).toBeGreaterThan(0);
  }
}, 120_000);

test("the benchmark of a killed replica runs: nothing is missing, the killed one's routers resume", async () => {
  const [failover] = await runSmoke("failover");
  const rows = failover?.rows ?? [];
  expect(rows.map(({ missing, repeated, snapshots }) => [missing, repeated, snapshots])).toEqual(
    Array(4).fill([0, 0, 0]),
  );
  const [all, , others, victims] = rows;
  expect(Number(others?.routers) + Number(victims?.routers)).toBe(all?.routers);
  expect(victims).toMatchObject({ resumed: 3 * Number(victims?.routers), awayMs: expect.any(Number) });
  for (const { longestGapMs } of rows) expect(longestGapMs).toBeGreaterThan(0);
}, 120_000);

test("the benchmark of restarts runs: nothing is missing, routers resume", async () => {
  const [resume] = await runSmoke("resume");
  const told = resume?.rows.map(({ missing, repeated, resumedPercent }) => ({ missing, repeated, resumedPercent }));
  expect(told).toEqual(Array(2).fill({ missing: 0, repeated: 0, resumedPercent: 100 }));
  for (const { away, maxAwayMs } of resume?.rows ?? []) {
    expect(away).toBeGreaterThan(0);
    expect(maxAwayMs).toBeGreaterThan(0);
  }
}, 120_000);

test("the benchmark of a cold replica runs: every way reads every user", async () => {
  const [cold] = await runSmoke("cold");
  expect(cold?.rows.map(({ users }) => users)).toEqual([60, 60, 60]);
  for (const { completeMs } of cold?.rows ?? []) expect(completeMs).toBeGreaterThan(0);
}, 120_000);

test("a benchmark that there is none of is refused", async () => {
  await expect(runBench("nonsense")).rejects.toMatchObject({ code: 2, stderr: expect.stringContaining("nonsense") });
});
