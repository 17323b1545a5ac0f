const STEPS_MS = [1_000, 2_000, 4_000, 8_000, 16_000, 30_000] as const;

/**
 * Returns the wait before the next attempt, in ms: 1, 2, 4, 8, 16, then 30 s. Each is shortened at random by up to a
 * quarter, so that many clients do not reconnect at the same instant.
 *
 * @param attempt how many attempts have failed, from 1
 */
export function backoffMs(attempt: number, random: () => number = Math.random): number {
  const step = STEPS_MS[Math.min(Math.max(attempt, 1), STEPS_MS.length) - 1] ?? 30_000;
  return Math.round(step * (1 - random() / 4));
}
