/**
 * Returns CLOCK_MONOTONIC in µs. Linux has one such clock for the whole machine, so times of different processes can be
 * compared.
 */
export function monotonicUs(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1e6 + nanoseconds / 1e3;
}
