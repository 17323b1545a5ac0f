import { createInterface } from "node:readline";
import type { Readable } from "node:stream";

/** Returns the complete lines that a stream has delivered so far. The array grows as more arrive. */
export function collectLines(stream: Readable | null): string[] {
  const lines: string[] = [];
  if (stream !== null) createInterface({ input: stream }).on("line", (line) => lines.push(line));
  return lines;
}
