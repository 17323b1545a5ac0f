import { isIP } from "node:net";
import { DEFAULT_AUDIT_LENGTH } from "../domain/audit.js";
import { SquelchError } from "../domain/errors.js";
import { MIN_TALK_TIME_MS } from "../domain/floor.js";
import { LOG_LEVELS, type LogLevel } from "../lib/logger.js";
import { parseRedisUrl, redactRedisUrl } from "../lib/redisUrl.js";

const REDIS_LAYOUTS = ["legacy", "cluster"] as const;

/** What a replica is started with. */
export interface ServerConfig {
  /** Undefined: the memory engine. */
  redisUrl: string | undefined;
  /** Undefined: where the state is, unless that is a Cluster. */
  ingestRedisUrl: string | undefined;
  redisLayout: (typeof REDIS_LAYOUTS)[number];
  grpcAddress: string;
  httpAddress: string;
  corsOrigins: readonly string[];
  logLevel: LogLevel;
  insecure: boolean;
  legacyRouters: boolean;
  membershipCheck: boolean;
  maxTalkTimeMs: number;
  /** How many may wait for the floor of a channel; 0: nobody. */
  floorQueueLimit: number;
  drainTimeoutMs: number;
  auditFloor: boolean;
  auditLength: number;
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
    description: "URL of the Redis, Sentinel group or Cluster that all replicas share",
    defaultText: "none: everything is kept in the memory of this one process",
  },
  {
    name: "ingestRedisUrl",
    flag: "--ingest-redis-url",
    env: "SQUELCH_INGEST_REDIS_URL",
    description: "URL of the Redis or Sentinel group to which the control plane publishes",
    defaultText: "as --redis-url; with a Cluster none: assignments are taken by RPC only",
  },
  {
    name: "redisLayout",
    flag: "--redis-layout",
    env: "SQUELCH_REDIS_LAYOUT",
    description: "legacy, the key names that routers share; or cluster, which a Cluster needs",
    defaultText: "legacy",
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
    description: "host:port for Connect, gRPC-Web, the web console, health and metrics; port 0 picks a free one",
    defaultText: "127.0.0.1:8080",
  },
  {
    name: "corsOrigins",
    flag: "--cors-origins",
    env: "SQUELCH_CORS_ORIGINS",
    description: "origins of other web pages that may call over HTTP, separated by commas; * is any",
    defaultText: "none",
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
    name: "membershipCheck",
    flag: "--membership-check",
    env: "SQUELCH_MEMBERSHIP_CHECK",
    description: "off: StartPtt grants the floor of channels that are not among the user's own",
    defaultText: "on",
  },
  {
    name: "maxTalkTimeMs",
    flag: "--max-talk-time",
    env: "SQUELCH_MAX_TALK_TIME",
    description: "the longest talk time that a caller may ask for, in ms, 1000 to 3600000",
    defaultText: "300000",
  },
  {
    name: "floorQueueLimit",
    flag: "--floor-queue-limit",
    env: "SQUELCH_FLOOR_QUEUE_LIMIT",
    description: "how many may wait for the floor of a channel, where they ask to, 0 to 100; 0: nobody waits",
    defaultText: "10",
  },
  {
    name: "drainTimeoutMs",
    flag: "--drain-timeout",
    env: "SQUELCH_DRAIN_TIMEOUT",
    description: "how long streams and calls may take to end at shutdown, in ms, 0 to 300000",
    defaultText: "10000",
  },
  {
    name: "auditFloor",
    flag: "--audit-floor",
    env: "SQUELCH_AUDIT_FLOOR",
    description: "on: the audit trail also has every StartPtt, RenewPtt and StopPtt",
    defaultText: "off",
  },
  {
    name: "auditLength",
    flag: "--audit-length",
    env: "SQUELCH_AUDIT_LENGTH",
    description: "about how many entries the audit trail keeps, 100 to 1000000",
    defaultText: "10000",
  },
];

const MAX_DRAIN_TIMEOUT_MS = 300_000;
const LONGEST_TALK_TIME_MS = 3_600_000;
const LONGEST_FLOOR_QUEUE = 100;
const MIN_AUDIT_LENGTH = 100;
const MAX_AUDIT_LENGTH = 1_000_000;

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
    const { flag, env: variable } = optionOf(name);
    const text = flags[name] ?? env[variable];
    if (text === undefined || text === "") return fallback;
    const value = parse(text);
    if (value === undefined) problems.push(`${flag} (${variable}): must be ${expected}, not "${redactRedisUrl(text)}"`);
    return value ?? fallback;
  };
  const readRedisUrl = (name: "redisUrl" | "ingestRedisUrl"): string | undefined => {
    const { flag, env: variable } = optionOf(name);
    const url = flags[name] ?? env[variable];
    if (url === undefined || url === "") return undefined;
    try {
      const { topology } = parseRedisUrl(url);
      if (name === "ingestRedisUrl" && topology === "cluster")
        throw new TypeError("a Redis URL of one server or of Sentinel");
      return url;
    } catch (error) {
      problems.push(`${flag} (${variable}): must be ${(error as Error).message}, not "${redactRedisUrl(url)}"`);
      return undefined;
    }
  };
  const config: ServerConfig = {
    redisUrl: readRedisUrl("redisUrl"),
    ingestRedisUrl: readRedisUrl("ingestRedisUrl"),
    redisLayout: read("redisLayout", parseLayout, `one of ${REDIS_LAYOUTS.join(", ")}`, "legacy"),
    grpcAddress: read("grpcAddress", parseAddress, "host:port", "127.0.0.1:50051"),
    httpAddress: read("httpAddress", parseAddress, "host:port", "127.0.0.1:8080"),
    corsOrigins: read("corsOrigins", parseOrigins, "origins as https://host:port, or *", []),
    logLevel: read("logLevel", parseLogLevel, `one of ${LOG_LEVELS.join(", ")}`, "info"),
    insecure: read("insecure", parseSwitch, "on or off", false),
    legacyRouters: read("legacyRouters", parseSwitch, "on or off", true),
    membershipCheck: read("membershipCheck", parseSwitch, "on or off", true),
    maxTalkTimeMs: read(
      "maxTalkTimeMs",
      (text) => parseWhole(text, MIN_TALK_TIME_MS, LONGEST_TALK_TIME_MS),
      `${MIN_TALK_TIME_MS} to ${LONGEST_TALK_TIME_MS} ms`,
      300_000,
    ),
    floorQueueLimit: read(
      "floorQueueLimit",
      (text) => parseWhole(text, 0, LONGEST_FLOOR_QUEUE),
      `0 to ${LONGEST_FLOOR_QUEUE}`,
      10,
    ),
    drainTimeoutMs: read("drainTimeoutMs", parseDrainTimeout, `0 to ${MAX_DRAIN_TIMEOUT_MS} ms`, 10_000),
    auditFloor: read("auditFloor", parseSwitch, "on or off", false),
    auditLength: read(
      "auditLength",
      (text) => parseWhole(text, MIN_AUDIT_LENGTH, MAX_AUDIT_LENGTH),
      `${MIN_AUDIT_LENGTH} to ${MAX_AUDIT_LENGTH}`,
      DEFAULT_AUDIT_LENGTH,
    ),
  };
  for (const name of ["grpcAddress", "httpAddress"] as const) {
    if (config.insecure || isLoopback(config[name])) continue;
    const { flag } = optionOf(name);
    problems.push(`${flag}: ${config[name]} is open to others without authentication; use loopback or --insecure on`);
  }
  const { redisUrl, ingestRedisUrl, redisLayout } = config;
  if (redisUrl !== undefined && redisLayout !== "cluster" && parseRedisUrl(redisUrl).topology === "cluster") {
    problems.push(
      `${optionOf("redisLayout").flag}: must be cluster where ${optionOf("redisUrl").flag} is of a Cluster`,
    );
  }
  if (redisUrl === undefined && ingestRedisUrl !== undefined) {
    problems.push(`${optionOf("ingestRedisUrl").flag}: needs ${optionOf("redisUrl").flag} too`);
  }
  if (problems.length > 0) throw new SquelchError("invalidArgument", problems.join("\n"));
  return config;
}

/** The part of the configuration that is about Redis. */
export interface RedisConfig extends Pick<ServerConfig, "ingestRedisUrl" | "redisLayout"> {
  redisUrl: string;
}

/**
 * The Redis of a library user who names none, or only its URL.
 *
 * @throws SquelchError `invalidArgument` if SQUELCH_REDIS_URL is missing too, or what SQUELCH_* variables say of Redis is
 *   wrong.
 */
export function redisFromEnvironment(redisUrl: string | undefined, env: NodeJS.ProcessEnv = process.env): RedisConfig {
  const { SQUELCH_REDIS_URL, SQUELCH_INGEST_REDIS_URL, SQUELCH_REDIS_LAYOUT } = env;
  const config = parseConfig({ redisUrl }, { SQUELCH_REDIS_URL, SQUELCH_INGEST_REDIS_URL, SQUELCH_REDIS_LAYOUT });
  if (config.redisUrl !== undefined) return { ...config, redisUrl: config.redisUrl };
  throw new SquelchError("invalidArgument", "redisUrl: must be given, or SQUELCH_REDIS_URL set");
}

function optionOf(name: keyof ServerConfig): ConfigOption {
  return CONFIG_OPTIONS.find((option) => option.name === name) as ConfigOption;
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

function parseLayout(text: string): ServerConfig["redisLayout"] | undefined {
  return REDIS_LAYOUTS.find((layout) => layout === text);
}

function parseLogLevel(text: string): LogLevel | undefined {
  return LOG_LEVELS.find((level) => level === text);
}

function parseOrigins(text: string): string[] | undefined {
  const origins = text.split(",").map((origin) => origin.trim());
  const areOrigins = origins.every(
    (origin) => origin === "*" || (URL.canParse(origin) && new URL(origin).origin === origin),
  );
  return areOrigins ? origins : undefined;
}

function parseSwitch(text: string): boolean | undefined {
  return new Map([
    ["on", true],
    ["off", false],
  ]).get(text);
}

function parseDrainTimeout(text: string): number | undefined {
  return parseWhole(text, 0, MAX_DRAIN_TIMEOUT_MS);
}

function parseWhole(text: string, min: number, max: number): number | undefined {
  const number = /^\d{1,9}$/.test(text) ? Number(text) : -1;
  return number >= min && number <= max ? number : undefined;
}
