import { afterAll, describe, it } from "vitest";
import type { FaultKind } from "../../torture/faults/fault.js";
import { LONG_PROVOCATION } from "../../torture/faults/refusals/provokedRefusals.js";
import { LONG_REFUSALS, PROXIED_ERRORS } from "../../torture/faults/refusals/proxiedRefusals.js";
import { FleetPool } from "../../torture/fleet/fleetPool.js";
import { chooseSeed } from "../../torture/random.js";
import type { StandaloneStore } from "../../torture/stores/standaloneStore.js";

const seed = chooseSeed();
const shared = new FleetPool(seed);
const apart = new FleetPool(seed, { isApart: true });

afterAll(async () => {
  for (const fleets of [shared, apart]) {
    await fleets.close();
    console.log(fleets.counts.describe(seed));
  }
});

const byName = (kinds: readonly FaultKind<StandaloneStore>[]) => kinds.map((kind) => [kind.name, kind] as const);

describe("nothing that was published is lost, no call is answered INTERNAL (G1, G6, G9)", () => {
  it.concurrent.each(byName(PROXIED_ERRORS))(
    "while the state's Redis, apart from the ingest's, says no: %s",
    (_, kind) => apart.endure(kind),
    600_000,
  );
});

describe("a replica is not ready while its own writes fail for long (G9)", () => {
  it.concurrent.each(byName(LONG_REFUSALS))("%s", (_, kind) => apart.endure(kind), 600_000);
  it.concurrent("Redis refuses all writes for long", () => shared.endure(LONG_PROVOCATION), 600_000);
});
