import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, describe, it } from "vitest";
import type { FaultKind } from "../torture/faults/fault.js";
import { LONG_PROVOCATION } from "../torture/faults/refusals/provokedRefusals.js";
import { LONG_REFUSALS, PROXIED_ERRORS } from "../torture/faults/refusals/proxiedRefusals.js";
import { FleetPool } from "../torture/fleet/fleetPool.js";
import { chooseSeed } from "../torture/random.js";
import type { StandaloneStore } from "../torture/stores/standaloneStore.js";

/** How long the load goes on before and after a refusal. */
const CALM_MS = 300;

const seed = chooseSeed();
const shared = new FleetPool(seed);
const apart = new FleetPool(seed, { isApart: true });

afterAll(async () => {
  for (const fleets of [shared, apart]) {
    await fleets.close();
    console.log(fleets.counts.describe(seed));
  }
});

function endure(fleets: FleetPool, { name, create }: FaultKind<StandaloneStore>): Promise<void> {
  return fleets.trial(async (run) => {
    await sleep(CALM_MS);
    await run.suffer(name, create(run, run.random.fork(name)));
    await sleep(CALM_MS);
  });
}

describe("nothing that was published is lost, no call is answered INTERNAL (G1, G6, G9)", () => {
  it.concurrent.each(PROXIED_ERRORS)(
    "while the state's Redis, apart from the ingest's, says no: $name",
    (kind) => endure(apart, kind),
    600_000,
  );
});

describe("a replica is not ready while its own writes fail for long (G9)", () => {
  it.concurrent.each(LONG_REFUSALS)("$name", (kind) => endure(apart, kind), 600_000);
  it.concurrent("Redis refuses all writes for long", () => endure(shared, LONG_PROVOCATION), 600_000);
});
