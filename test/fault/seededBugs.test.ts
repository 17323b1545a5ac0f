import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { waitFor } from "../support/waitFor.js";
import { describeViolations } from "../torture/checker.js";
import { FAULTS } from "../torture/faults/allFaults.js";
import type { FaultKind } from "../torture/faults/fault.js";
import { LONG_PROVOCATION } from "../torture/faults/refusals/provokedRefusals.js";
import { LONG_REFUSALS, PROXIED_ERRORS } from "../torture/faults/refusals/proxiedRefusals.js";
import { FLAWS, type FlawName } from "../torture/fleet/flaws.js";
import type { Violation } from "../torture/laws/violation.js";
import { chooseSeed } from "../torture/random.js";
import { Run } from "../torture/run.js";
import { StandaloneStore } from "../torture/stores/standaloneStore.js";

/** How much is written before the faults, and after them: enough for most users to be written twice. */
const WRITES = 120;
/** How long that may take on a machine that is very busy, and the law to see it, ms. */
const PATIENCE_MS = 60_000;
/** Longer than a watcher may lag behind without being told. */
const LAG_MS = 5_000;
/** With a defect some things never come; these are not waited for as long as elsewhere. */
const RECOVERY_MS = 8_000;
const SETTLE_MS = 2_000;

interface Case {
  flaw: FlawName;
  /** The guarantee whose law must find it. */
  law: Violation["law"];
  /** What has to go wrong for it to show, all at once; for how long, ms. */
  faults: Readonly<Record<string, number>>;
  /** How long everything is quiet afterwards, ms. */
  quietMs?: number;
  /** How long to wait until all stands again, if longer than for the others, ms. */
  recoveryMs?: number;
  /** Default 1. */
  replicas?: number;
}

const REDIS_RESTART = "Redis is killed and comes back with its data";

const KINDS = [...FAULTS, ...PROXIED_ERRORS, ...LONG_REFUSALS, LONG_PROVOCATION];
/** Longer than a replica may take not to be ready, ms. */
const LONG_MS = 12_000;

const CASES: readonly Case[] = [
  { flaw: "neverCatchesUp", law: "G1", faults: { "Redis drops all subscribers": 500 } },
  {
    flaw: "takesAnyEpoch",
    law: "G2",
    faults: { [REDIS_RESTART]: 500, "all replicas are killed and started again": 2_000 },
    // It shows when the routers are back, at replicas that were started from their sources.
    recoveryMs: 60_000,
  },
  { flaw: "fallsSilent", law: "G3", faults: {}, quietMs: LAG_MS },
  { flaw: "olderWins", law: "G6", faults: {} },
  { flaw: "ordersByArrival", law: "G6", faults: {} },
  { flaw: "mixesEvents", law: "G7", faults: {} },
  { flaw: "hidesFailures", law: "G9", faults: { [REDIS_RESTART]: 2_500 } },
  { flaw: "alwaysHealthy", law: "G9", faults: { [REDIS_RESTART]: 2_500 } },
  { flaw: "anchorsPattern", law: "G9", faults: { OOM: 1_500 } },
  { flaw: "dropsOnUnknownError", law: "G6", faults: { "a code that is not known": 1_500 } },
  { flaw: "probesByReading", law: "G9", faults: { [LONG_PROVOCATION.name]: LONG_MS } },
  {
    flaw: "countsTicketsOfOthers",
    law: "G9",
    faults: { "the state's Redis refuses the writes of one replica for long": LONG_MS },
    replicas: 2,
  },
  {
    flaw: "staysWithDemoted",
    law: "G9",
    faults: { "Redis becomes a replica, and new connections lead to its successor": 14_000 },
  },
];

async function enoughLoad({ workload }: Run): Promise<void> {
  const enough = workload.writes.size + WRITES;
  await waitFor(() => workload.writes.size >= enough, { timeoutMs: PATIENCE_MS, message: "enough writes" });
}

describe("the checker finds", () => {
  it.concurrent.each(CASES)(
    "$flaw by the law of $law",
    async ({ flaw, law, faults, quietMs = 0, recoveryMs = RECOVERY_MS, replicas = 1 }) => {
      const seed = chooseSeed();
      const program = ["--import", "tsx", "test/torture/fleet/flawedReplica.ts", flaw];
      const size = { replicas, routers: 2, events: 6, recoveryMs, settleMs: SETTLE_MS };
      const run = await Run.start(await StandaloneStore.start(), { seed, program, ...size });
      try {
        run.workload.start();
        await enoughLoad(run);
        await Promise.all(
          Object.entries(faults).map(([name, holdMs]) => {
            const { create } = KINDS.find((kind) => kind.name === name) as FaultKind<StandaloneStore>;
            return run.suffer(name, create(run, run.random), holdMs);
          }),
        );
        await enoughLoad(run);
        await run.workload.pause();
        await sleep(quietMs);
        await run.rest();
        const found = run.newViolations();
        // What is late can be told from what a busy machine holds up only after a while.
        const deadline = performance.now() + (quietMs > 0 ? PATIENCE_MS : 0);
        while (!found.some((violation) => violation.law === law) && performance.now() < deadline) {
          await sleep(LAG_MS);
          found.push(...run.newViolations());
        }
        const text = `${FLAWS[flaw].description}, seed ${seed}\n${describeViolations(found)}`;
        expect(new Set(found.map((violation) => violation.law)), text).toContain(law);
      } finally {
        await run.stop();
      }
    },
    600_000,
  );
});
