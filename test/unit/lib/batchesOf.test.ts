import { expect, it } from "vitest";
import { batchesOf } from "../../../src/lib/batchesOf.js";

it.each([
  [0, []],
  [3, [[0, 1, 2]]],
  [4, [[0, 1, 2], [3]]],
  [
    6,
    [
      [0, 1, 2],
      [3, 4, 5],
    ],
  ],
])("puts %i items into batches of 3, in their order", (count, batches) => {
  expect([...batchesOf([...Array(count).keys()], 3)]).toEqual(batches);
});
