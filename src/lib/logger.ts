import { type Logger, pino } from "pino";

export type { Logger };

export const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "silent"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/**
 * A logger that writes JSON lines to stdout. Fields that may carry secrets are redacted. Lines are written beside the
 * work, several at a time when they come fast: thousands a second would else take more CPU than what they tell of. Those
 * that wait when the process exits are written then.
 *
 * @param name goes into every line as `name`
 */
export function createLogger(name: string, level: LogLevel = "info"): Logger {
  const options = { name, level, redact: ["token", "authorization", "secret", "password"] };
  return pino(options, pino.destination({ dest: 1, sync: false }));
}
