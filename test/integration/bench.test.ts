import { expect, test } from "vitest";
import { runProgram } from "../support/childProcess.js";

interface Result {
  scenario: string;
  environment: Record<string, unknown>;
  rows: Record<string, string | number>[];
}

async function runBench(...args: string[]): Promise<string> {
  return runProgram(process.execPath, ["--import", "tsx", "bench/main.ts", ...args], { timeoutMs: 30_000 });
}

test("the benchmarks run: each receiver gets each message, each way does every channel", async () => {
  const lines = (await runBench("--smoke", "--json")).trimEnd().split("\n");
  const results = lines.map((line) => JSON.parse(line) as Result);
  const [latency, pause, speakers] = results;
  expect(results.map(({ scenario }) => scenario)).toEqual(["latency", "pause", "speakers"]);
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
}, 40_000);

test("a benchmark that there is none of is refused", async () => {
  await expect(runBench("nonsense")).rejects.toMatchObject({ code: 2, stderr: expect.stringContaining("nonsense") });
});
