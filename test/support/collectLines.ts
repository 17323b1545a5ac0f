import { createInterface } from "node:readline";
import type { Readable } from "node:stream";

/** The complete lines that a stream has brought so far; the array grows as more come. */
export function collectLines(stream: Readable | null): string[] {
  const lines: string[] = [];
  if (stream !== null) createInterface({ input: stream }).on("line", (line) => lines.push(line));
  return lines;
}
