import { setTimeout as sleep } from "node:timers/promises";

const POLL_INTERVAL_MS = 10;

/** A type without its falsy values. */
export type Truthy<T> = Exclude<T, false | 0 | 0n | "" | null | undefined>;

/**
 * Resolves with the result of the condition as soon as that is truthy. Tries the condition every 10 ms. Rejects after
 * `timeoutMs` (default 15 s) with `message`, or at once if the condition throws.
 */
export async function waitFor<T>(
  condition: () => T | Promise<T>,
  options: { timeoutMs?: number; message?: string | (() => string) } = {},
): Promise<Truthy<T>> {
  const { timeoutMs = 15_000, message = "the condition" } = options;
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const value = await condition();
    if (value) return value as Truthy<T>;
    if (performance.now() >= deadline) {
      throw new Error(
        `Waited ${timeoutMs} ms without success for ${typeof message === "string" ? message : message()}`,
      );
    }
    await sleep(POLL_INTERVAL_MS);
  }
}
