import { expect, it } from "vitest";
import { Counts } from "../../torture/counts.js";
import { chooseSeed } from "../../torture/random.js";
import { endureAtRandom } from "../../torture/randomFaults.js";

it("faults and refusals drawn by chance, alone and combined, break no guarantee (G1, G2, G3, G6, G7, G9)", async () => {
  const seed = chooseSeed();
  // Before anything can hang.
  console.log(`seed ${seed}`);
  const counts = new Counts();
  const broken = await endureAtRandom(seed, counts, { rounds: 4 }).finally(() => console.log(counts.describe(seed)));
  expect(broken, `seed ${seed}`).toBeUndefined();
}, 600_000);
