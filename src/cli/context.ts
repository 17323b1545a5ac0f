import type { Output } from "./output.js";

/** What a command has of the world around it. */
export interface CommandContext {
  /** Where results go. */
  readonly output: Output;
  readonly env: NodeJS.ProcessEnv;
}
