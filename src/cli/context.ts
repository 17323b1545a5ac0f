import type { Readable, Writable } from "node:stream";
import type { Output } from "./output/output.js";

/** What a command has of the world around it. */
export interface CommandContext {
  /** Where results go. */
  readonly output: Output;
  /** What is piped in. */
  readonly stdin: Readable;
  /** For people alone: progress, if it is a terminal. */
  readonly stderr: Writable & { isTTY?: boolean };
  readonly env: NodeJS.ProcessEnv;
}
