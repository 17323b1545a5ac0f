import { fileURLToPath } from "node:url";
import { type SquelchProcess, spawnSquelch } from "../../test/support/startSquelch.js";
import { waitFor } from "../../test/support/waitFor.js";

const HEAP_REPORTER = fileURLToPath(new URL("../support/heapReporter.mjs", import.meta.url));
const PROGRAM = ["--expose-gc", "--import", HEAP_REPORTER, "bin/squelch", "serve"];

/** The memory that a process holds after its garbage was collected, bytes. */
export interface HeldMemory {
  /** Objects on the heap. */
  heap: number;
  /** Buffers outside the heap. */
  buffers: number;
  /** All resident memory of the process, including garbage and the program itself. */
  resident: number;
}

/** Runs the unchanged program `squelch serve` in a process that can report its memory. */
export function spawnMeasuredReplica(redisUrl: string): Promise<SquelchProcess> {
  return spawnSquelch(["--redis-url", redisUrl], {}, PROGRAM);
}

/** Collects the garbage of a measured replica and returns the memory that is left. */
export async function readHeldMemory({ lines, kill }: SquelchProcess): Promise<HeldMemory> {
  const reports = () => lines.filter((line) => line.startsWith('{"msg":"memory"'));
  const before = reports().length;
  kill("SIGUSR2");
  const report = await waitFor(() => reports()[before], { timeoutMs: 30_000, message: "the replica's memory" });
  const { heapUsed, arrayBuffers, rss } = JSON.parse(report) as Record<"heapUsed" | "arrayBuffers" | "rss", number>;
  return { heap: heapUsed, buffers: arrayBuffers, resident: rss };
}
