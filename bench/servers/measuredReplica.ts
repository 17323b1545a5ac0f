import { fileURLToPath } from "node:url";
import { type SquelchProcess, spawnSquelch } from "../../test/support/startSquelch.js";
import { waitFor } from "../../test/support/waitFor.js";

const HEAP_REPORTER = fileURLToPath(new URL("../support/heapReporter.mjs", import.meta.url));
const PROGRAM = ["--expose-gc", "--import", HEAP_REPORTER, "bin/squelch", "serve"];

/** What a process holds after its garbage was collected, bytes. */
export interface HeldMemory {
  /** Objects of the heap. */
  heap: number;
  /** Buffers beside the heap. */
  buffers: number;
  /** All that it has in RAM: also room for garbage, and the program. */
  resident: number;
}

/** The program `squelch serve` as it is, in a process that can be asked what memory it holds. */
export function spawnMeasuredReplica(redisUrl: string): Promise<SquelchProcess> {
  return spawnSquelch(["--redis-url", redisUrl], {}, PROGRAM);
}

/** Collects the garbage of such a replica and returns what is left. */
export async function readHeldMemory({ lines, kill }: SquelchProcess): Promise<HeldMemory> {
  const reports = () => lines.filter((line) => line.startsWith('{"msg":"memory"'));
  const before = reports().length;
  kill("SIGUSR2");
  const report = await waitFor(() => reports()[before], { timeoutMs: 30_000, message: "the replica's memory" });
  const { heapUsed, arrayBuffers, rss } = JSON.parse(report) as Record<"heapUsed" | "arrayBuffers" | "rss", number>;
  return { heap: heapUsed, buffers: arrayBuffers, resident: rss };
}
