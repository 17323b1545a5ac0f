/**
 * CLOCK_MONOTONIC in µs. Linux keeps it for the whole machine, so that a time taken in one process can be compared with
 * one taken in another.
 */
export function monotonicUs(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1e6 + nanoseconds / 1e3;
}
