import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, describe, expect, it } from "vitest";
import { describeViolations } from "../torture/checker.js";
import { Counts } from "../torture/counts.js";
import { FAULTS } from "../torture/faults/allFaults.js";
import { chooseSeed } from "../torture/random.js";
import { Run } from "../torture/run.js";

const CALM_MS = 300;

const seed = chooseSeed();
const counts = new Counts();
let current: Run | undefined;

async function end(): Promise<void> {
  const run = current;
  current = undefined;
  if (run !== undefined) counts.add(run.history, run.injected);
  await run?.stop();
}

afterAll(async () => {
  await end();
  console.log(counts.describe(seed));
});

describe("three replicas and six routers under load keep G1, G2, G3, G6, G7 and G9 while", () => {
  // One fleet goes from fault to fault; after a failure the next one gets a fleet of its own.
  it.each(FAULTS)(
    "$name",
    async (kind) => {
      current ??= await Run.start({ seed });
      const run = current;
      try {
        run.workload.start();
        await sleep(CALM_MS);
        await run.suffer(kind.name, kind.create(run, run.random.fork(kind.name)));
        await sleep(CALM_MS);
        await run.rest();
        const violations = run.newViolations();
        expect(violations, `seed ${seed}\n${describeViolations(violations)}`).toEqual([]);
      } catch (error) {
        await end();
        throw error;
      }
    },
    90_000,
  );
});
