import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, describe, expect, it } from "vitest";
import { Counts } from "../torture/counts.js";
import type { FaultKind } from "../torture/faults/fault.js";
import { CLUSTER_FAULTS, SENTINEL_FAULTS } from "../torture/faults/topologyFaults.js";
import { chooseSeed } from "../torture/random.js";
import { Run } from "../torture/run.js";
import { ClusterStore } from "../torture/stores/clusterStore.js";
import { SentinelStore } from "../torture/stores/sentinelStore.js";
import type { Store } from "../torture/stores/store.js";

const EVENTS = 12;
/** How long the load goes on before a fail-over, and after it, so that most users are written anew, ms. */
const CALM_MS = 1_000;
const AFTERMATH_MS = 4_000;

const seed = chooseSeed();
const counts = new Counts();

afterAll(() => console.log(counts.describe(seed)));

async function survive<S extends Store>(store: S, { name, create }: FaultKind<S>): Promise<void> {
  const run = await Run.start(store, { seed, events: EVENTS });
  try {
    run.workload.start();
    await sleep(CALM_MS);
    await run.suffer(name, create(run, run.random.fork(name)));
    await sleep(AFTERMATH_MS);
    await run.rest();
    const violations = run.newViolations();
    expect(violations, `seed ${seed}\n${run.describe(violations)}`).toEqual([]);
  } finally {
    counts.add(run.history, run.injected);
    await run.stop();
  }
}

describe("no guarantee is broken (G1, G2, G3, G6, G7, G9) when", () => {
  it.concurrent.each(SENTINEL_FAULTS)("$name", async (kind) => survive(await SentinelStore.start(), kind), 600_000);
  it.concurrent.each(CLUSTER_FAULTS)("$name", async (kind) => survive(await ClusterStore.start(), kind), 600_000);
});
