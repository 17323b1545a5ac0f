/** Yields the items in their order, in batches of `size`. The last batch may be smaller; no items yield no batch. */
export function* batchesOf<T>(items: readonly T[], size: number): Generator<T[]> {
  for (let first = 0; first < items.length; first += size) yield items.slice(first, first + size);
}
