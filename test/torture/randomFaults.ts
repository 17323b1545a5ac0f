import { setTimeout as sleep } from "node:timers/promises";
import { FAULTS, FAULTS_APART } from "./faults/allFaults.js";
import type { FaultKind } from "./faults/fault.js";
import type { Random } from "./random.js";
import type { Run } from "./run.js";
import type { StandaloneStore } from "./stores/standaloneStore.js";

/** The most faults at the same time. */
const MAX_AT_ONCE = 3;
const MAX_DELAY_MS = 1_000;
const MIN_HOLD_MS = 200;
const MAX_HOLD_MS = 3_000;
const MAX_CALM_MS = 500;
/** How often a fleet may rest between two rounds; else the next faults meet what the last ones have left. */
const REST_CHANCE = 0.3;

/**
 * Puts a fleet under load through rounds of faults, alone and combined, and brings it to rest in the end. Ends early when
 * somebody has not come back: every further wait would be for them.
 */
export async function sufferAtRandom(run: Run<StandaloneStore>, random: Random, rounds: number): Promise<void> {
  const faults = run.fleet.store.isApart ? FAULTS_APART : FAULTS;
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

// No two of them need the same thing for themselves.
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
