import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, describe, it } from "vitest";
import { REFUSALS } from "../../torture/faults/allFaults.js";
import { FleetPool } from "../../torture/fleet/fleetPool.js";
import { chooseSeed } from "../../torture/random.js";

/** How long the load goes on before and after a fault. */
const CALM_MS = 300;

const fleets = new FleetPool(chooseSeed());

afterAll(async () => {
  await fleets.close();
  console.log(fleets.counts.describe(fleets.seed));
});

describe("three replicas and six routers under load keep G1, G2, G3, G6, G7 and G9 while", () => {
  // By their names in full: longer ones would be cut short.
  it.concurrent.each(REFUSALS.map((kind) => [kind.name, kind] as const))(
    "%s",
    (_, { name, create }) =>
      fleets.trial(async (run) => {
        await sleep(CALM_MS);
        await run.suffer(name, create(run, run.random.fork(name)));
        await sleep(CALM_MS);
      }),
    600_000,
  );
});
