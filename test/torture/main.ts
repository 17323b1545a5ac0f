// Puts one fleet after another through random faults: `npm run torture -- [--minutes N] [--seed S]`. Exit code 1 if a
// guarantee was broken: then run the printed seed with `--fleets 1` to repeat the faults. Exit code 2 if the
// arguments are wrong.
import { parseArgs } from "node:util";
import { ensureSystemPackages } from "../support/systemPackages.js";
import { Counts } from "./counts.js";
import { chooseSeed, createRandom } from "./random.js";
import { endureAtRandom } from "./randomFaults.js";

/** The number of rounds of faults that one fleet goes through. */
const ROUNDS = 8;
/** The share of fleets in which control planes publish to a separate Redis. */
const APART_CHANCE = 0.3;
const MS_PER_MINUTE = 60_000;

const USAGE = `usage: npm run torture -- [--minutes N] [--seed S] [--fleets N]

  --minutes N  begins no fleet after so long; default 10
  --seed S     a whole number; drawn by chance if not given. Each fleet's seed is one more than that of the one before
  --fleets N   the most fleets, one after another

SQUELCH_TEST_REDIS names another program to run in the place of redis-server, for example valkey-server`;

interface Arguments {
  minutes: number;
  seed: number;
  fleets: number;
}

function readArguments(): Arguments {
  const options = { minutes: { type: "string" }, seed: { type: "string" }, fleets: { type: "string" } } as const;
  const { minutes = "10", seed, fleets } = parseArgs({ options }).values;
  if (!(Number(minutes) > 0)) throw new Error(`--minutes: must be above 0, not "${minutes}"`);
  if (fleets !== undefined && !/^[1-9]\d*$/.test(fleets)) throw new Error(`--fleets: must be from 1, not "${fleets}"`);
  return {
    minutes: Number(minutes),
    seed: chooseSeed(seed),
    fleets: fleets === undefined ? Number.POSITIVE_INFINITY : Number(fleets),
  };
}

async function torture({ minutes, seed, fleets }: Arguments): Promise<void> {
  const counts = new Counts();
  const deadline = performance.now() + minutes * MS_PER_MINUTE;
  for (let fleet = 0; fleet < fleets && performance.now() < deadline; fleet++) {
    const fleetSeed = seed + fleet;
    const isApart = createRandom(fleetSeed).fork("store").chance(APART_CHANCE);
    const broken = await endureAtRandom(fleetSeed, counts, { rounds: ROUNDS, isApart });
    console.log(`fleet ${fleet + 1}, seed ${fleetSeed}: ${broken ?? "every guarantee held"}`);
    if (broken === undefined) continue;
    process.exitCode = 1;
    break;
  }
  console.log(`\n${counts.describe(seed)}`);
}

let given: Arguments | undefined;
try {
  given = readArguments();
} catch (error) {
  console.error(`${(error as Error).message}\n${USAGE}`);
  process.exitCode = 2;
}
if (given !== undefined) {
  ensureSystemPackages();
  await torture(given);
}
