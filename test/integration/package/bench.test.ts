import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { runProgram } from "../../support/childProcess.js";

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

/** Peers that are not installed have a row that says so. */
function measuredRows(result: Result | undefined): Result["rows"] {
  return (result?.rows ?? []).filter(({ path }) => !String(path).endsWith(": not installed"));
}

test("the benchmarks of deliveries run: each receiver of each path gets each message", async () => {
  const [fanout, latency] = await runSmoke("fanout", "latency");
  expect(fanout?.environment).toMatchObject({ node: process.version, redis: expect.stringMatching(/^\d+\.\d+/) });
  for (const [result, deliveries] of [
    [fanout, [180, 45]],
    [latency, [80, 960]],
  ] as const) {
    const rows = measuredRows(result);
    const complete = { missing: 0, repeated: 0, disordered: 0 };
    expect(rows).toEqual(rows.map(() => expect.objectContaining(complete)));
    for (const path of ["Squelch", "Redis pub/sub"]) {
      const own = rows.filter((row) => row.path === path);
      expect(own.map((row) => row.deliveries)).toEqual(deliveries);
    }
    for (const { cpuUs } of rows) expect(cpuUs).toBeGreaterThan(0);
  }
  for (const { delayP50Ms, delayP99Ms, delayMaxMs } of measuredRows(latency)) {
    expect(delayP50Ms).toBeGreaterThan(0);
    expect(delayP99Ms).toBeGreaterThanOrEqual(Number(delayP50Ms));
    expect(delayMaxMs).toBeGreaterThanOrEqual(Number(delayP99Ms));
  }
}, 120_000);

test("the benchmark to the WebSocket runs: each user receives each change", async () => {
  const [endToEnd] = await runSmoke("end-to-end");
  expect(endToEnd?.rows).toHaveLength(2);
  for (const row of endToEnd?.rows ?? []) expect(row).toMatchObject({ deliveries: 20, missing: 0, repeated: 0 });
}, 120_000);

test("the benchmark of a herd runs: without cursors each watcher gets each user, with them none", async () => {
  const [herd] = await runSmoke("herd");
  expect(herd?.rows.map(({ watchers, receivedUsers }) => [watchers, receivedUsers])).toEqual([
    [1, 20],
    [6, 120],
    [6, 0],
  ]);
}, 120_000);

test("the benchmark of memory runs: a fresh replica delivers every membership, and a change to every idle watcher", async () => {
  const [memory] = await runSmoke("memory");
  expect(memory?.rows.map(({ count, missing }) => [count, missing])).toEqual([
    [100, 0],
    [20, 0],
  ]);
  for (const { heapBytes } of memory?.rows ?? []) expect(heapBytes).toEqual(expect.any(Number));
}, 120_000);

test("the benchmark of growth runs: each watcher gets each change under every load", async () => {
  const [growth] = await runSmoke("growth");
  const complete = { changes: 10, missing: 0, repeated: 0, disordered: 0 };
  expect(growth?.rows).toMatchObject(
    ["watchers", "users", "channels", "logLength", "otherEvents"].flatMap((grows) => [
      { grows, ...complete },
      { grows, ...complete },
    ]),
  );
}, 120_000);

test("the benchmarks of the floor run: each way covers every channel", async () => {
  const [pause, speakers] = await runSmoke("pause", "speakers");
  const here = { channels: 3, rounds: 2 };
  for (const [result, expected] of [
    [pause, [...Array(3).fill(here), ...Array(3).fill({ channels: 2, rounds: 1 })]],
    [speakers, Array(9).fill(here)],
  ] as const) {
    const rows = result?.rows ?? [];
    expect(rows.map(({ channels, rounds }) => ({ channels, rounds }))).toEqual(expected);
    for (const { medianMs } of rows) expect(medianMs).toBeGreaterThan(0);
    // The last three rows are measured with the delay of a Redis on another machine.
    for (const { roundTripMs } of rows.slice(-3)) expect(roundTripMs).toBeGreaterThan(0.3);
  }
}, 120_000);

test("the benchmark of calls runs: every floor is granted and given back", async () => {
  const [floor] = await runSmoke("floor");
  expect(floor?.rows.map(({ calls, missing }) => ({ calls, missing }))).toEqual(
    Array(3).fill({ calls: 48, missing: 0 }),
  );
  for (const { p50Ms, p99Ms } of floor?.rows ?? []) expect(p99Ms).toBeGreaterThanOrEqual(Number(p50Ms));
}, 120_000);

test("the benchmark of the ingest runs: every update is applied, with one replica or several", async () => {
  const [ingest] = await runSmoke("ingest");
  const applied = ingest?.rows.map(({ replicas, updates, missing }) => ({ replicas, updates, missing }));
  expect(applied).toEqual([1, 1, 2, 2].map((replicas) => ({ replicas, updates: 100, missing: 0 })));
  for (const { redisCpuUs } of ingest?.rows ?? []) expect(redisCpuUs).toBeGreaterThan(0);
}, 120_000);

test("the benchmark of an emergency runs: every speaker on every router is notified once", async () => {
  const [emergency] = await runSmoke("emergency");
  const [answered, any, last] = emergency?.rows ?? [];
  expect([any, last]).toMatchObject(Array(2).fill({ routers: 2, sockets: 6, rounds: 2, missing: 0, repeated: 0 }));
  expect(answered?.p50Ms).toBeGreaterThan(0);
  expect(last?.p50Ms).toBeGreaterThanOrEqual(Number(any?.p50Ms));
  expect(last?.p99Ms).toBeGreaterThanOrEqual(Number(last?.p50Ms));
}, 120_000);

test("the benchmark of a killed replica runs: nothing is missing, and its routers resume", async () => {
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
  const results = resume?.rows.map(({ missing, repeated, resumedPercent }) => ({ missing, repeated, resumedPercent }));
  expect(results).toEqual(Array(2).fill({ missing: 0, repeated: 0, resumedPercent: 100 }));
  for (const { away, maxAwayMs } of resume?.rows ?? []) {
    expect(away).toBeGreaterThan(0);
    expect(maxAwayMs).toBeGreaterThan(0);
  }
}, 120_000);

test("the benchmark of speakers runs: each stream receives each change", async () => {
  const [channels] = await runSmoke("channels");
  expect(channels?.rows.map(({ speaking, changes }) => [speaking, changes])).toEqual([
    [2, 6],
    [4, 6],
    [2, 4],
    [4, 8],
  ]);
  for (const { replicaCpuUs } of channels?.rows ?? []) expect(replicaCpuUs).toBeGreaterThan(0);
}, 120_000);

test("the benchmark of a cold replica runs: every way reads every user", async () => {
  const [cold] = await runSmoke("cold");
  expect(cold?.rows.map(({ users }) => users)).toEqual([60, 60, 60]);
  for (const { completeMs } of cold?.rows ?? []) expect(completeMs).toBeGreaterThan(0);
}, 120_000);

test("a report has the table and the plots of what was measured", async () => {
  const directory = await mkdtemp(join(tmpdir(), "squelch-report-"));
  try {
    const file = join(directory, "figures.md");
    await runBench("speakers", "--smoke", "--report", file);
    const page = await readFile(file, "utf8");
    expect(page).toContain("| one GET after another");
    expect(page).toContain(process.version);
    const images = [...page.matchAll(/^!\[.*\]\((.*)\)$/gm)].map(([, image = ""]) => image);
    expect(images).not.toEqual([]);
    for (const image of images)
      expect(await readFile(join(directory, image), "utf8")).toMatch(/^<svg.*<rect.*<\/svg>\n$/s);
  } finally {
    await rm(directory, { recursive: true });
  }
}, 120_000);

test("an unknown benchmark is refused", async () => {
  await expect(runBench("nonsense")).rejects.toMatchObject({ code: 2, stderr: expect.stringContaining("nonsense") });
});

test("the benchmark of the console runs: the page shows every event", async () => {
  const [webConsole] = await runSmoke("console");
  expect(webConsole?.rows).toMatchObject([{ events: 2, channels: 6, users: 20, rounds: 1 }]);
  for (const field of ["interactiveMs", "eventMs", "heapMib", "nodes"]) {
    expect(webConsole?.rows[0]?.[field], field).toBeGreaterThan(0);
  }
}, 120_000);
