import type { Readable, Writable } from "node:stream";
import type { Output } from "./output/output.js";

/** The streams and environment variables of a command. */
export interface CommandContext {
  /** Prints results. */
  readonly output: Output;
  /** Standard input. */
  readonly stdin: Readable;
  /** Standard error. It shows progress if it is a terminal. */
  readonly stderr: Writable & { isTTY?: boolean };
  readonly env: NodeJS.ProcessEnv;
}
