import { InvalidArgumentError } from "commander";

const UNIT_MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 } as const;

/**
 * Reads a span of time as people write it: a number with `ms`, `s`, `m` or `h`, or a plain `0`.
 *
 * @returns whole milliseconds, 0 or more
 * @throws commander's InvalidArgumentError, which becomes a line about the option
 */
export function parseDurationText(text: string): number {
  if (text === "0") return 0;
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(text);
  const ms = match === null ? Number.NaN : Math.round(Number(match[1]) * UNIT_MS[match[2] as keyof typeof UNIT_MS]);
  // A span that rounds to nothing is none: 0 has a meaning of its own.
  const isTooShort = ms === 0 && /[1-9]/.test(text);
  if (!Number.isSafeInteger(ms) || isTooShort) {
    throw new InvalidArgumentError("It must be a number with a unit, for example 500ms, 60s, 2m, 1h, or 0.");
  }
  return ms;
}

/** Like {@link parseDurationText}, for a span that may not be 0. */
export function parsePositiveDuration(text: string): number {
  const ms = parseDurationText(text);
  if (ms === 0) throw new InvalidArgumentError("It must be above 0.");
  return ms;
}

/** Writes a span as {@link parseDurationText} reads it, in the largest unit that leaves no fraction. */
export function formatDuration(ms: number): string {
  for (const unit of ["h", "m", "s"] as const) {
    if (ms >= UNIT_MS[unit] && ms % UNIT_MS[unit] === 0) return `${ms / UNIT_MS[unit]}${unit}`;
  }
  return `${ms}ms`;
}
