import { fileURLToPath } from "node:url";
import type { Run } from "../run.js";
import { type Fault, type FaultKind, replicaNames } from "./fault.js";

const SHIFT_CLOCK = fileURLToPath(new URL("../fleet/shiftClock.mjs", import.meta.url));
const HOUR_MS = 3_600_000;

function killed({ fleet }: Run, names: readonly string[]): Fault {
  return {
    parties: names,
    async inject() {
      await Promise.all(names.map((name) => fleet.replica(name).kill()));
    },
    async cease() {
      await Promise.all(names.map((name) => fleet.replica(name).start()));
    },
  };
}

function stopped({ fleet }: Run, names: readonly string[]): Fault {
  const set = (isRunning: boolean) => {
    for (const name of names) fleet.replica(name).setRunning(isRunning);
  };
  return { parties: names, inject: () => set(false), cease: () => set(true) };
}

// A wrong local clock must have no effect, because Redis's clock orders the writes and ends the leases.
function clockShifted({ fleet }: Run, name: string, shiftMs: number): Fault {
  const restart = async (env: Record<string, string>) => {
    await fleet.replica(name).kill();
    await fleet.replica(name).start(env);
  };
  return {
    parties: [name],
    inject: () => restart({ NODE_OPTIONS: `--import=${SHIFT_CLOCK}`, SHIFT_CLOCK_MS: `${shiftMs}` }),
    cease: () => restart({}),
  };
}

/** Faults of replicas. */
export const REPLICA_FAULTS: readonly FaultKind[] = [
  {
    name: "a replica is killed and started again",
    uses: "replica",
    create: (run, random) => killed(run, [random.pick(replicaNames(run))]),
  },
  {
    name: "all replicas but one are killed and started again",
    uses: "replica",
    create: (run, random) => killed(run, random.shuffle(replicaNames(run)).slice(1)),
  },
  {
    name: "all replicas are killed and started again",
    uses: "replica",
    create: (run) => killed(run, replicaNames(run)),
  },
  {
    name: "a replica hangs",
    uses: "replica",
    create: (run, random) => stopped(run, [random.pick(replicaNames(run))]),
  },
  { name: "all replicas hang", uses: "replica", create: (run) => stopped(run, replicaNames(run)) },
  {
    name: "the clock of a replica is hours fast",
    uses: "replica",
    create: (run, random) => clockShifted(run, random.pick(replicaNames(run)), random.integer(1, 9) * HOUR_MS),
  },
  {
    name: "the clock of a replica is hours slow",
    uses: "replica",
    create: (run, random) => clockShifted(run, random.pick(replicaNames(run)), -random.integer(1, 9) * HOUR_MS),
  },
];
