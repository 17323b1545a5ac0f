import { InvalidArgumentError } from "commander";

const UNIT_MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 } as const;

/**
 * Parses a duration: a number with the unit `ms`, `s`, `m` or `h`, or `0`.
 *
 * @returns whole milliseconds, 0 or more
 * @throws InvalidArgumentError of commander, which prints it with the name of the option
 */
export function parseDurationText(text: string): number {
  if (text === "0") return 0;
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(text);
  const ms = match === null ? Number.NaN : Math.round(Number(match[1]) * UNIT_MS[match[2] as keyof typeof UNIT_MS]);
  // A duration that rounds to 0 is rejected, because 0 has a special meaning.
  const isTooShort = ms === 0 && /[1-9]/.test(text);
  if (!Number.isSafeInteger(ms) || isTooShort) {
    throw new InvalidArgumentError("It must be a number with a unit, for example 500ms, 60s, 2m, 1h, or 0.");
  }
  return ms;
}

/** Parses a duration above 0. {@link parseDurationText} documents the format. */
export function parsePositiveDuration(text: string): number {
  const ms = parseDurationText(text);
  if (ms === 0) throw new InvalidArgumentError("It must be above 0.");
  return ms;
}

/** Formats a duration in the largest unit without a fraction, for example `90s` or `2m`. */
export function formatDuration(ms: number): string {
  for (const unit of ["h", "m", "s"] as const) {
    if (ms >= UNIT_MS[unit] && ms % UNIT_MS[unit] === 0) return `${ms / UNIT_MS[unit]}${unit}`;
  }
  return `${ms}ms`;
}
