import { type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";

const two = (value: number) => String(value).padStart(2, "0");

/** Formats a duration like a stopwatch: `0:07`, `12:05`, `1:02:03`. A negative duration counts as 0. */
export function formatSpan(spanMs: number): string {
  const seconds = Math.max(0, Math.floor(spanMs / 1_000));
  const minutes = Math.floor(seconds / 60);
  const rest = `${two(minutes % 60)}:${two(seconds % 60)}`;
  return minutes >= 60 ? `${Math.floor(minutes / 60)}:${rest}` : rest.replace(/^0/, "");
}

/** Formats a duration with one unit: `0.4 s`, `12 s`, `3 min`, `2 h`. */
export function formatAge(ageMs: number): string {
  if (ageMs < 9_950) return `${(ageMs / 1_000).toFixed(1)} s`;
  if (ageMs < 100_000) return `${Math.round(ageMs / 1_000)} s`;
  if (ageMs < 5_400_000) return `${Math.round(ageMs / 60_000)} min`;
  return `${Math.round(ageMs / 3_600_000)} h`;
}

/** Formats the time of day in the time zone of the browser. */
export function formatTimeOfDay(timeMs: number): string {
  const time = new Date(timeMs);
  return `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
}

/** Formats date and time of day in the time zone of the browser. */
export function formatMoment(timeMs: number): string {
  const time = new Date(timeMs);
  return `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())} ${formatTimeOfDay(timeMs)}`;
}

/** Formats a count with its noun: `1 user`, `2 users`. */
export function formatCount(count: number, noun: string): string {
  return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
}

/** Converts a timestamp to ms since 1970; undefined if it is not set. */
export function timeOf(time: Timestamp | undefined): number | undefined {
  return time && timestampMs(time);
}
