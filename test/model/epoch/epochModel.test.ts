import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FLAWS, type Flaw, LawBroken, runSchedule, type Step } from "./epochModel.js";

/** More with MODEL_RUNS. MODEL_SEED repeats a run. */
const RUNS = Math.max(20_000, Number(process.env.MODEL_RUNS ?? 0));
const SEED = Number(process.env.MODEL_SEED ?? Math.floor(Math.random() * 2 ** 31));
/** A flaw must be found within this many schedules. */
const FLAW_RUNS = 40_000;
const FLAW_SEED = 20_260_101;

const user = fc.constantFrom("u", "v");
const channels = fc.constantFrom("", "a", "b");
const feed = fc.constantFrom(0, 1);
const kind = <K extends Step["do"]>(name: K) => fc.constant(name);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: kind("write"), user, channels, times: fc.integer({ min: 1, max: 4 }) }) },
  { weight: 1, arbitrary: fc.record({ do: kind("writeHalf"), user, channels }) },
  { weight: 2, arbitrary: fc.record({ do: kind("sync"), user, channels }) },
  { weight: 1, arbitrary: fc.record({ do: kind("loseMembers") }) },
  { weight: 1, arbitrary: fc.record({ do: kind("load") }) },
  { weight: 1, arbitrary: fc.record({ do: kind("loseMeta") }) },
  { weight: 2, arbitrary: fc.record({ do: kind("copy") }) },
  { weight: 2, arbitrary: fc.record({ do: kind("restore") }) },
  { weight: 1, arbitrary: fc.record({ do: kind("restoreMembers"), user, channels }) },
  { weight: 4, arbitrary: fc.record({ do: kind("deliver"), feed, count: fc.integer({ min: 1, max: 5 }) }) },
  { weight: 2, arbitrary: fc.record({ do: kind("check"), feed }) },
);
const schedules = fc.array(step, { maxLength: 25, size: "max" });

function find(flaw: Flaw | undefined, numRuns: number, seed: number) {
  return fc.check(
    fc.property(schedules, (steps) => runSchedule(steps, flaw)),
    { numRuns, seed, endOnFailure: flaw !== undefined },
  );
}

describe("the rules of epochs, in a model without Redis", () => {
  test("G1, G2: after any loss or restore, watchers reach the state of the store, and no revision is used twice", () => {
    const result = find(undefined, RUNS, SEED);
    if (result.failed) throw new Error(`seed ${SEED}: ${fc.defaultReportMessage(result)}`);
    console.log(`${result.numRuns} schedules, seed ${SEED}`);
  }, 120_000);

  test.each(Object.entries(FLAWS) as [Flaw, string][])("a flaw is found: %s: %s", (flaw) => {
    const result = find(flaw, FLAW_RUNS, FLAW_SEED);
    expect(result.failed, `"${flaw}" was not found in ${FLAW_RUNS} schedules`).toBe(true);
    expect(result.errorInstance).toBeInstanceOf(LawBroken);
  });
});
