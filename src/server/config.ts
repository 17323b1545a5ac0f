import { isIP } from "node:net";
import { SquelchError } from "../domain/errors.js";
import { LOG_LEVELS, type LogLevel } from "../lib/logger.js";

/** What a replica is started with. */
export interface ServerConfig {
  /** Undefined: the memory engine. */
  redisUrl: string | undefined;
  grpcAddress: string;
  httpAddress: string;
  logLevel: LogLevel;
  insecure: boolean;
  legacyRouters: boolean;
  drainTimeoutMs: number;
}

interface ConfigOption {
  name: keyof ServerConfig;
  flag: string;
  env: string;
  description: string;
  defaultText: string;
}

/** Every option of `squelch serve`: a flag, a variable, and what holds where neither is given. */
export const CONFIG_OPTIONS: readonly ConfigOption[] = [
  {
    name: "redisUrl",
    flag: "--redis-url",
    env: "SQUELCH_REDIS_URL",
    description: "redis:// or rediss:// URL of the Redis that all replicas share",
    defaultText: "none: everything is kept in the memory of this one process",
  },
  {
    name: "grpcAddress",
    flag: "--grpc-address",
    env: "SQUELCH_GRPC_ADDRESS",
    description: "host:port for routers and tools; port 0 picks a free one",
    defaultText: "127.0.0.1:50051",
  },
  {
    name: "httpAddress",
    flag: "--http-address",
    env: "SQUELCH_HTTP_ADDRESS",
    description: "host:port for /healthz, /readyz and /metrics; port 0 picks a free one",
    defaultText: "127.0.0.1:8080",
  },
  {
    name: "logLevel",
    flag: "--log-level",
    env: "SQUELCH_LOG_LEVEL",
    description: `one of ${LOG_LEVELS.join(", ")}`,
    defaultText: "info",
  },
  {
    name: "insecure",
    flag: "--insecure",
    env: "SQUELCH_INSECURE",
    description: "on: serve addresses other than loopback without authentication",
    defaultText: "off",
  },
  {
    name: "legacyRouters",
    flag: "--legacy-routers",
    env: "SQUELCH_LEGACY_ROUTERS",
    description: "off: no router writes the floor to Redis itself, so a pause need not take the speaker keys",
    defaultText: "on",
  },
  {
    name: "drainTimeoutMs",
    flag: "--drain-timeout",
    env: "SQUELCH_DRAIN_TIMEOUT",
    description: "how long streams and calls may take to end at shutdown, in ms, 0 to 300000",
    defaultText: "10000",
  },
];

const MAX_DRAIN_TIMEOUT_MS = 300_000;

/**
 * Reads the configuration: a flag, else the variable, else the default.
 *
 * @param flags by name of the option, as in {@link CONFIG_OPTIONS}
 * @throws SquelchError `invalidArgument` that names everything that is wrong, one item a line.
 */
export function parseConfig(flags: Readonly<Record<string, string | undefined>>, env: NodeJS.ProcessEnv): ServerConfig {
  const problems: string[] = [];
  const read = <T>(
    name: keyof ServerConfig,
    parse: (text: string) => T | undefined,
    expected: string,
    fallback: T,
  ): T => {
    const { flag, env: variable } = CONFIG_OPTIONS.find((option) => option.name === name) as ConfigOption;
    const text = flags[name] ?? env[variable];
    if (text === undefined || text === "") return fallback;
    const value = parse(text);
    if (value === undefined) problems.push(`${flag} (${variable}): must be ${expected}, not "${redact(text)}"`);
    return value ?? fallback;
  };
  const config: ServerConfig = {
    redisUrl: read<string | undefined>("redisUrl", parseRedisUrl, "a redis:// or rediss:// URL", undefined),
    grpcAddress: read("grpcAddress", parseAddress, "host:port", "127.0.0.1:50051"),
    httpAddress: read("httpAddress", parseAddress, "host:port", "127.0.0.1:8080"),
    logLevel: read("logLevel", parseLogLevel, `one of ${LOG_LEVELS.join(", ")}`, "info"),
    insecure: read("insecure", parseSwitch, "on or off", false),
    legacyRouters: read("legacyRouters", parseSwitch, "on or off", true),
    drainTimeoutMs: read("drainTimeoutMs", parseDrainTimeout, `0 to ${MAX_DRAIN_TIMEOUT_MS} ms`, 10_000),
  };
  for (const name of ["grpcAddress", "httpAddress"] as const) {
    if (config.insecure || isLoopback(config[name])) continue;
    const { flag } = CONFIG_OPTIONS.find((option) => option.name === name) as ConfigOption;
    problems.push(`${flag}: ${config[name]} is open to others without authentication; use loopback or --insecure on`);
  }
  if (problems.length > 0) throw new SquelchError("invalidArgument", problems.join("\n"));
  return config;
}

/**
 * The Redis of a library user who names none.
 *
 * @throws SquelchError `invalidArgument` if SQUELCH_REDIS_URL is missing or no Redis URL.
 */
export function redisUrlFromEnvironment(env: NodeJS.ProcessEnv = process.env): string {
  const { redisUrl } = parseConfig({ redisUrl: env.SQUELCH_REDIS_URL }, {});
  if (redisUrl !== undefined) return redisUrl;
  throw new SquelchError("invalidArgument", "redisUrl: must be given, or SQUELCH_REDIS_URL set");
}

/** Splits host:port, `[::1]:0` too; undefined if it is none. */
export function splitAddress(address: string): { host: string; port: number } | undefined {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(address);
  const [, ipv6, name, port] = match ?? [];
  const host = ipv6 ?? name;
  if (host === undefined || Number(port) > 65_535 || (ipv6 !== undefined && isIP(ipv6) !== 6)) return undefined;
  return { host, port: Number(port) };
}

function isLoopback(address: string): boolean {
  const host = splitAddress(address)?.host ?? "";
  return host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
}

function parseAddress(text: string): string | undefined {
  return splitAddress(text) === undefined ? undefined : text;
}

function parseRedisUrl(text: string): string | undefined {
  const isRedis = URL.canParse(text) && ["redis:", "rediss:"].includes(new URL(text).protocol);
  return isRedis && new URL(text).hostname !== "" ? text : undefined;
}

function parseLogLevel(text: string): LogLevel | undefined {
  return LOG_LEVELS.find((level) => level === text);
}

function parseSwitch(text: string): boolean | undefined {
  return new Map([
    ["on", true],
    ["off", false],
  ]).get(text);
}

function parseDrainTimeout(text: string): number | undefined {
  return /^\d{1,6}$/.test(text) && Number(text) <= MAX_DRAIN_TIMEOUT_MS ? Number(text) : undefined;
}

// A URL may carry a password.
function redact(text: string): string {
  return text.replace(/\/\/[^@/]*@/, "//***@");
}
