import { type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";

const two = (value: number) => String(value).padStart(2, "0");

/** A span as a stopwatch shows it: `0:07`, `12:05`, `1:02:03`. Negative ones are 0. */
export function formatSpan(spanMs: number): string {
  const seconds = Math.max(0, Math.floor(spanMs / 1_000));
  const minutes = Math.floor(seconds / 60);
  const rest = `${two(minutes % 60)}:${two(seconds % 60)}`;
  return minutes >= 60 ? `${Math.floor(minutes / 60)}:${rest}` : rest.replace(/^0/, "");
}

/** A span in words, one unit: `0.4 s`, `12 s`, `3 min`, `2 h`. */
export function formatAge(ageMs: number): string {
  if (ageMs < 9_950) return `${(ageMs / 1_000).toFixed(1)} s`;
  if (ageMs < 100_000) return `${Math.round(ageMs / 1_000)} s`;
  if (ageMs < 5_400_000) return `${Math.round(ageMs / 60_000)} min`;
  return `${Math.round(ageMs / 3_600_000)} h`;
}

/** The time of day in the reader's zone. */
export function formatTimeOfDay(timeMs: number): string {
  const time = new Date(timeMs);
  return `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
}

/** Date and time of day in the reader's zone. */
export function formatMoment(timeMs: number): string {
  const time = new Date(timeMs);
  return `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())} ${formatTimeOfDay(timeMs)}`;
}

/** `1 user`, `2 users`. */
export function formatCount(count: number, noun: string): string {
  return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
}

/** ms since 1970; undefined for a time that is not set. */
export function timeOf(time: Timestamp | undefined): number | undefined {
  return time && timestampMs(time);
}
