import { type Logger, pino } from "pino";
import { logOutput } from "./logOutput.js";

export type { Logger };

export const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "silent"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/**
 * Creates a logger that writes JSON lines to stdout. It redacts fields that may carry secrets. Lines are buffered and
 * written asynchronously, because at thousands of lines a second a write for each would cost much CPU. While nothing reads
 * stdout, 1 MiB of lines waits, and further lines are dropped and counted. Waiting lines are flushed when the process
 * exits, as far as stdout accepts them.
 *
 * @param name appears in every line as `name`
 */
export function createLogger(name: string, level: LogLevel = "info"): Logger {
  const options = { name, level, redact: ["token", "authorization", "secret", "password"] };
  return pino(options, logOutput);
}
