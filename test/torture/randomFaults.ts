import { setTimeout as sleep } from "node:timers/promises";
import type { Counts } from "./counts.js";
import { FAULTS, FAULTS_APART } from "./faults/allFaults.js";
import type { FaultKind } from "./faults/fault.js";
import type { Random } from "./random.js";
import { Run } from "./run.js";
import { StandaloneStore } from "./stores/standaloneStore.js";

const EVENTS = 24;

/** The most faults that are active at the same time. */
const MAX_AT_ONCE = 3;
const MAX_DELAY_MS = 1_000;
const MIN_HOLD_MS = 200;
const MAX_HOLD_MS = 3_000;
const MAX_CALM_MS = 500;
/**
 * How often a fleet rests between two rounds. Otherwise the next faults start while effects of the last ones remain.
 */
const REST_CHANCE = 0.3;

/** How a fleet is put through faults. */
export interface Ordeal {
  rounds: number;
  /** True if control planes publish to a separate Redis. Default: false. */
  isApart?: boolean;
  /** The faults to draw from. Default: every fault that fits the store. */
  faults?: readonly FaultKind<StandaloneStore>[];
}

/**
 * Puts a new fleet through random faults, and adds the results to the counts. Returns a description of
 * the broken guarantees, or undefined if every guarantee held.
 */
export async function endureAtRandom(
  seed: number,
  counts: Counts,
  { rounds, isApart = false, faults = isApart ? FAULTS_APART : FAULTS }: Ordeal,
): Promise<string | undefined> {
  const run = await Run.start(await StandaloneStore.start({ isApart }), { seed, events: EVENTS });
  try {
    await sufferAtRandom(run, run.random.fork("faults"), rounds, faults);
    const violations = run.newViolations();
    return violations.length === 0 ? undefined : run.describe(violations);
  } finally {
    counts.add(run.history, run.injected, run.fleet.store.refused);
    await run.stop();
  }
}

/**
 * Puts a fleet under load through rounds of faults, alone and combined, and brings it to rest in the end. Stops early
 * if a party has not recovered, because every further wait would time out.
 */
async function sufferAtRandom(
  run: Run<StandaloneStore>,
  random: Random,
  rounds: number,
  faults: readonly FaultKind<StandaloneStore>[],
): Promise<void> {
  for (let round = 1; round <= rounds && run.history.strandings.length === 0; round++) {
    run.workload.start();
    await sleep(random.integer(0, MAX_CALM_MS));
    await Promise.all(
      drawKinds(random, faults).map((kind) => sufferLater(run, kind, random.fork(`${round} ${kind.name}`))),
    );
    if (round < rounds && random.chance(REST_CHANCE)) await run.rest();
    else await run.workload.pause();
  }
  await run.rest();
}

// No two faults use the same resource.
function drawKinds(random: Random, faults: readonly FaultKind<StandaloneStore>[]): FaultKind<StandaloneStore>[] {
  const count = random.integer(1, MAX_AT_ONCE);
  const drawn = new Map<FaultKind["uses"], FaultKind<StandaloneStore>>();
  for (const kind of random.shuffle(faults)) {
    if (kind.isAlone && drawn.size === 0) return [kind];
    if (drawn.size < count && !kind.isAlone && !drawn.has(kind.uses)) drawn.set(kind.uses, kind);
  }
  return [...drawn.values()];
}

async function sufferLater(
  run: Run<StandaloneStore>,
  { name, create }: FaultKind<StandaloneStore>,
  random: Random,
): Promise<void> {
  await sleep(random.integer(0, MAX_DELAY_MS));
  const fault = create(run, random);
  await run.suffer(name, fault, Math.max(random.integer(MIN_HOLD_MS, MAX_HOLD_MS), fault.holdMs ?? 0));
}
