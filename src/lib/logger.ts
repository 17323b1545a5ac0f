import { type Logger, pino } from "pino";

export type { Logger };

export const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "silent"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/**
 * A logger that writes JSON lines to stdout. Fields that may carry secrets are redacted.
 *
 * @param name goes into every line as `name`
 */
export function createLogger(name: string, level: LogLevel = "info"): Logger {
  return pino({ name, level, redact: ["token", "authorization", "secret", "password"] });
}
