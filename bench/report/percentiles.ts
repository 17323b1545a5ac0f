/**
 * Returns the smallest value that at least `percent` of all values do not exceed (nearest rank). Throws if there are no
 * values.
 */
export function percentile(values: Iterable<number>, percent: number): number {
  const sorted = Float64Array.from(values).sort();
  const value = sorted[Math.max(Math.ceil((percent / 100) * sorted.length), 1) - 1];
  if (value === undefined) throw new Error("values: must not be empty");
  return value;
}
