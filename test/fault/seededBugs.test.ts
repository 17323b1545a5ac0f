import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { describeViolations } from "../torture/checker.js";
import { FAULTS } from "../torture/faults/allFaults.js";
import { FLAWS, type FlawName } from "../torture/flaws.js";
import type { Violation } from "../torture/laws/violation.js";
import { chooseSeed } from "../torture/random.js";
import { Run } from "../torture/run.js";

const CALM_MS = 1_000;
/** Longer than a watcher may lag behind without being told. */
const LAG_MS = 5_000;

/** Each defect, the guarantee whose law must find it, and what has to go wrong for it to show. */
const CASES: readonly { flaw: FlawName; law: Violation["law"]; faults: readonly string[]; restMs?: number }[] = [
  { flaw: "neverCatchesUp", law: "G1", faults: ["Redis drops all subscribers"] },
  {
    flaw: "takesAnyEpoch",
    law: "G2",
    faults: ["Redis is killed and comes back with its data", "a router is cut off from all replicas"],
  },
  { flaw: "swallowsEntries", law: "G3", faults: [], restMs: LAG_MS },
  { flaw: "olderWins", law: "G6", faults: [] },
  { flaw: "countsNoMessages", law: "G6", faults: [] },
  { flaw: "mixesEvents", law: "G7", faults: [] },
  { flaw: "hidesFailures", law: "G9", faults: ["Redis is killed and comes back with its data"] },
  { flaw: "alwaysHealthy", law: "G9", faults: ["Redis is killed and comes back with its data"] },
];

describe("the checker finds", () => {
  it.concurrent.each(CASES)(
    "$flaw by the law of $law",
    async ({ flaw, law, faults, restMs = 0 }) => {
      const seed = chooseSeed();
      const program = ["--import", "tsx", "test/torture/flawedReplica.ts", flaw];
      const run = await Run.start({ seed, program, replicas: 1, routers: 2, controlPlanes: 2, events: 6 });
      try {
        run.workload.start();
        await sleep(CALM_MS);
        for (const name of faults) {
          const kind = FAULTS.find((known) => known.name === name);
          if (kind === undefined) throw new Error(`there is no fault "${name}"`);
          await run.suffer(name, kind.create(run, run.random), 2_500);
        }
        await run.workload.pause();
        await sleep(restMs);
        await run.rest();
        const found = run.newViolations();
        const text = `${FLAWS[flaw].description}, seed ${seed}\n${describeViolations(found)}`;
        expect(new Set(found.map((violation) => violation.law)), text).toContain(law);
      } finally {
        await run.stop();
      }
    },
    180_000,
  );
});
