import { expect, it } from "vitest";
import { Counts } from "../torture/counts.js";
import { chooseSeed } from "../torture/random.js";
import { sufferAtRandom } from "../torture/randomFaults.js";
import { Run } from "../torture/run.js";
import { StandaloneStore } from "../torture/stores/standaloneStore.js";

const ROUNDS = 4;
const EVENTS = 24;

it("faults drawn by chance, alone and combined, break no guarantee (G1, G2, G3, G6, G7, G9)", async () => {
  const seed = chooseSeed();
  // Before anything can hang.
  console.log(`seed ${seed}`);
  const counts = new Counts();
  const run = await Run.start(await StandaloneStore.start(), { seed, events: EVENTS });
  try {
    await sufferAtRandom(run, run.random.fork("faults"), ROUNDS);
    const violations = run.newViolations();
    expect(violations, `seed ${seed}\n${run.describe(violations)}`).toEqual([]);
  } finally {
    counts.add(run.history, run.injected, run.fleet.store.refused);
    console.log(counts.describe(seed));
    await run.stop();
  }
}, 600_000);
