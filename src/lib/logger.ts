import { type Logger, pino } from "pino";
import { logOutput } from "./logOutput.js";

export type { Logger };

export const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "silent"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/**
 * A logger that writes JSON lines to stdout. Fields that may carry secrets are redacted. Lines are written beside the
 * work, several at a time when they come fast. While nobody reads stdout, 1 MiB of lines waits and further lines are
 * dropped and counted. Lines that wait when the process exits are written then, as far as stdout takes them.
 *
 * @param name goes into every line as `name`
 */
export function createLogger(name: string, level: LogLevel = "info"): Logger {
  const options = { name, level, redact: ["token", "authorization", "secret", "password"] };
  return pino(options, logOutput);
}
