import { afterAll, describe, it } from "vitest";
import { REFUSALS } from "../../torture/faults/allFaults.js";
import { FleetPool } from "../../torture/fleet/fleetPool.js";
import { chooseSeed } from "../../torture/random.js";

const fleets = new FleetPool(chooseSeed());

afterAll(async () => {
  await fleets.close();
  console.log(fleets.counts.describe(fleets.seed));
});

describe("three replicas and six routers under load keep G1, G2, G3, G6, G7 and G9 while", () => {
  // By their names in full: longer ones would be cut short.
  it.concurrent.each(REFUSALS.map((kind) => [kind.name, kind] as const))(
    "%s",
    (_, kind) => fleets.endure(kind),
    600_000,
  );
});
