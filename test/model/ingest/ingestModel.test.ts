import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import { FLAWS, type Flaw } from "./flaws.js";
import { type Course, runSchedule } from "./runSchedule.js";
import { schedules, WORLDS, type World } from "./worlds.js";

/** Schedules in each world; more with MODEL_RUNS. MODEL_SEED repeats a run. */
const RUNS = Math.max(4_000, Number(process.env.MODEL_RUNS ?? 0));
const SEED = Number(process.env.MODEL_SEED ?? Math.floor(Math.random() * 2 ** 31));

/** A flaw must be found within this many schedules of some world. */
const FLAW_RUNS = 8_000;
const FLAW_SEED = 20_260_101;

function find(world: World, flaw: Flaw | undefined, runs: number, seed: number, onCourse?: (course: Course) => void) {
  const property = fc.property(schedules(world), (schedule) => onCourse?.(runSchedule(world, schedule, flaw)));
  return fc.check(property, { numRuns: runs, seed, endOnFailure: flaw !== undefined });
}

describe("the ingest protocol, in a model without Redis", () => {
  let total = 0;

  test.each(Object.entries(WORLDS))(
    "G6: the newest write always stands: %s",
    (name, world) => {
      const sum = { steps: 0, writes: 0, missed: 0, restored: 0 };
      const shortfalls: Record<string, number> = {};
      const result = find(world, undefined, RUNS, SEED, (course) => {
        for (const key of ["steps", "writes", "missed", "restored"] as const) sum[key] += course[key];
        for (const shortfall of course.shortfalls) shortfalls[shortfall] = (shortfalls[shortfall] ?? 0) + 1;
      });
      const counts = JSON.stringify({ ...sum, shortfalls });
      if (result.failed) throw new Error(`seed ${SEED}: ${fc.defaultReportMessage(result)}`);
      total += result.numRuns;
      console.log(`${name}: ${result.numRuns} schedules, seed ${SEED}, ${counts}`);

      // Otherwise the test would prove nothing.
      expect(sum.missed).toBeGreaterThan(RUNS);
      expect(sum.restored).toBeGreaterThan(RUNS / 20);
      expect(Object.keys(shortfalls).sort()).toEqual([...world.shortfalls].sort());
    },
    600_000,
  );

  afterAll(() => console.log(`${total} schedules in all, seed ${SEED}`));
});

describe("a flaw in the protocol is found", () => {
  test.each(Object.entries(FLAWS) as [Flaw, string][])(
    "%s: %s",
    (flaw) => {
      const worlds = Object.values(WORLDS).reverse();
      const step = 1_000;
      for (let runs = 0; runs < FLAW_RUNS; runs += step) {
        for (const world of worlds) {
          const result = find(world, flaw, step, FLAW_SEED + runs, () => undefined);
          if (result.failed) {
            expect(result.errorInstance).toMatchObject({ name: "LawBroken" });
            return;
          }
        }
      }
      expect.unreachable(`"${flaw}" was not found in ${FLAW_RUNS} schedules of each world`);
    },
    60_000,
  );
});
