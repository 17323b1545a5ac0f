import { BlockList, isIP } from "node:net";
import { DEFAULT_AUDIT_LENGTH } from "../domain/audit.js";
import { SquelchError } from "../domain/errors.js";
import { DEFAULT_EVENT_LIMITS, MOST_CHANNELS_PER_USER } from "../domain/eventLimits.js";
import { MIN_TALK_TIME_MS } from "../domain/floor.js";
import { parseHostPort } from "../lib/hostPort.js";
import { LOG_LEVELS, type LogLevel } from "../lib/logger.js";
import { parseRedisUrl, redactRedisUrl } from "../lib/redisUrl.js";
import { CONFIG_OPTIONS, type ConfigOption, REDIS_LAYOUTS, type ServerConfig } from "./configOptions.js";

/** The shortest secret of tokens, bytes: as long as the digest of HS256 (RFC 7518, 3.2). */
export const MIN_SECRET_BYTES = 32;

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
    if (value === undefined) {
      const isSecret = name === "tokenSecret" || name === "tokenJwks";
      const given = isSecret ? "" : `, not "${redactRedisUrl(text)}"`;
      problems.push(`${flag} (${variable}): must be ${expected}${given}`);
    }
    return value ?? fallback;
  };
  const readWhole = (name: keyof ServerConfig, min: number, max: number, fallback: number) =>
    read(name, (text) => parseWhole(text, min, max), `${min} to ${max}`, fallback);
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
  const maxConnections = readWhole("maxConnections", 1, 100_000, 5_000);
  const config: ServerConfig = {
    redisUrl: readRedisUrl("redisUrl"),
    ingestRedisUrl: readRedisUrl("ingestRedisUrl"),
    redisLayout: read("redisLayout", parseLayout, `one of ${REDIS_LAYOUTS.join(", ")}`, "legacy"),
    grpcAddress: read("grpcAddress", parseAddress, "host:port", "127.0.0.1:50051"),
    httpAddress: read("httpAddress", parseAddress, "host:port", "127.0.0.1:8080"),
    corsOrigins: read("corsOrigins", parseOrigins, "origins as https://host:port, or *", []),
    logLevel: read("logLevel", parseLogLevel, `one of ${LOG_LEVELS.join(", ")}`, "info"),
    tokenSecret: read("tokenSecret", parseSecret, `at least ${MIN_SECRET_BYTES} bytes`, undefined),
    tokenSecretFile: read("tokenSecretFile", asItIs, "a file", undefined),
    tokenJwks: read(
      "tokenJwks",
      parseKeyLocation,
      "a file, an https URL, or an http URL of this machine, without user and password",
      undefined,
    ),
    tokenAudience: read("tokenAudience", asItIs, "a text", "squelch"),
    tokenIssuer: read("tokenIssuer", asItIs, "a text", undefined),
    revokedTokens: read("revokedTokens", asItIs, "a file", undefined),
    tlsCert: read("tlsCert", asItIs, "a file", undefined),
    tlsKey: read("tlsKey", asItIs, "a file", undefined),
    tlsClientCa: read("tlsClientCa", asItIs, "a file", undefined),
    tlsClientCrl: read("tlsClientCrl", asItIs, "a file", undefined),
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
    maxStreams: readWhole("maxStreams", 1, 100_000, 100),
    maxCallsPerS: readWhole("maxCallsPerS", 1, 1_000_000, 1_000),
    maxConnections,
    maxConnectionsPerAddress: readWhole("maxConnectionsPerAddress", 1, 100_000, Math.ceil(maxConnections / 2)),
    proxies: read("proxies", parseNetworks, "IP addresses or networks as 10.0.0.0/8", loopback()),
    maxUsersPerEvent: readWhole("maxUsersPerEvent", 1, 1_000_000, DEFAULT_EVENT_LIMITS.maxUsersPerEvent),
    maxChannelsPerUser: readWhole(
      "maxChannelsPerUser",
      1,
      MOST_CHANNELS_PER_USER,
      DEFAULT_EVENT_LIMITS.maxChannelsPerUser,
    ),
    logLength: readWhole("logLength", 100, 1_000_000, DEFAULT_EVENT_LIMITS.logLength),
    drainTimeoutMs: read("drainTimeoutMs", parseDrainTimeout, `0 to ${MAX_DRAIN_TIMEOUT_MS} ms`, 10_000),
    auditFloor: read("auditFloor", parseSwitch, "on or off", false),
    auditLength: read(
      "auditLength",
      (text) => parseWhole(text, MIN_AUDIT_LENGTH, MAX_AUDIT_LENGTH),
      `${MIN_AUDIT_LENGTH} to ${MAX_AUDIT_LENGTH}`,
      DEFAULT_AUDIT_LENGTH,
    ),
    otlpEndpoint: read("otlpEndpoint", parseHttpUrl, "an http or https URL", undefined),
  };
  for (const name of ["grpcAddress", "httpAddress"] as const) {
    if (config.insecure || isAuthenticated(config) || isLoopback(config[name])) continue;
    const { flag } = optionOf(name);
    problems.push(
      `${flag}: ${config[name]} is open to others without authentication; ` +
        "give --token-secret, --token-jwks or --tls-client-ca, use loopback, or --insecure on",
    );
  }
  const { tokenSecret, tokenSecretFile, tlsCert, tlsKey, tlsClientCa, tlsClientCrl } = config;
  if (tokenSecret !== undefined && tokenSecretFile !== undefined) {
    problems.push("--token-secret: must not be given beside --token-secret-file");
  }
  if ((tlsCert === undefined) !== (tlsKey === undefined)) problems.push("--tls-cert: must be given with --tls-key");
  if (tlsClientCa !== undefined && tlsCert === undefined) problems.push("--tls-client-ca: needs --tls-cert too");
  if (tlsClientCrl !== undefined && tlsClientCa === undefined)
    problems.push("--tls-client-crl: needs --tls-client-ca too");
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

/** True if callers must authenticate. */
export function isAuthenticated(config: ServerConfig): boolean {
  const { tokenSecret, tokenSecretFile, tokenJwks, tlsClientCa } = config;
  return [tokenSecret, tokenSecretFile, tokenJwks, tlsClientCa].some((way) => way !== undefined);
}

/** The part of the configuration that is about Redis. */
export interface RedisConfig extends Pick<ServerConfig, "ingestRedisUrl" | "redisLayout"> {
  redisUrl: string;
}

/**
 * Returns the Redis options of the library from the environment. `redisUrl` replaces SQUELCH_REDIS_URL.
 *
 * @throws SquelchError `invalidArgument` if both are missing, or if the SQUELCH_* variables for Redis are not valid
 */
export function redisFromEnvironment(redisUrl: string | undefined, env: NodeJS.ProcessEnv = process.env): RedisConfig {
  const { SQUELCH_REDIS_URL, SQUELCH_INGEST_REDIS_URL, SQUELCH_REDIS_LAYOUT } = env;
  const config = parseConfig({ redisUrl }, { SQUELCH_REDIS_URL, SQUELCH_INGEST_REDIS_URL, SQUELCH_REDIS_LAYOUT });
  if (config.redisUrl !== undefined) return { ...config, redisUrl: config.redisUrl };
  throw new SquelchError("invalidArgument", "redisUrl: must be given, or SQUELCH_REDIS_URL set");
}

/** Names the option at the beginning of an error's message as `parseConfig` does, by its flag. Other errors stay. */
export function namedByFlag(error: unknown): unknown {
  if (!(error instanceof SquelchError)) return error;
  const option = CONFIG_OPTIONS.find(({ name }) => error.message.startsWith(`${name}: `));
  if (option === undefined) return error;
  const { name, flag, env } = option;
  return new SquelchError(error.code, `${flag} (${env})${error.message.slice(name.length)}`, { cause: error });
}

function optionOf(name: keyof ServerConfig): ConfigOption {
  return CONFIG_OPTIONS.find((option) => option.name === name) as ConfigOption;
}

function isLoopback(address: string): boolean {
  const host = parseHostPort(address)?.host ?? "";
  return host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
}

function parseAddress(text: string): string | undefined {
  return parseHostPort(text) === undefined ? undefined : text;
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

function loopback(): BlockList {
  const list = new BlockList();
  list.addSubnet("127.0.0.0", 8, "ipv4");
  list.addAddress("::1", "ipv6");
  return list;
}

// Loopback is always included, because every tool of this machine connects from there.
function parseNetworks(text: string): BlockList | undefined {
  const list = loopback();
  for (const network of text.split(",").map((part) => part.trim())) {
    if (network === "") continue;
    const [address = "", bits, ...rest] = network.split("/");
    const family = isIP(address);
    const longest = family === 4 ? 32 : 128;
    const length = bits === undefined ? longest : parseWhole(bits, 0, longest);
    if (family === 0 || length === undefined || rest.length > 0) return undefined;
    list.addSubnet(address, length, family === 4 ? "ipv4" : "ipv6");
  }
  return list;
}

function asItIs(text: string): string {
  return text;
}

function parseSecret(text: string): string | undefined {
  return Buffer.byteLength(text) < MIN_SECRET_BYTES ? undefined : text;
}

// An attacker on the network could replace keys that come without TLS.
function parseKeyLocation(text: string): string | undefined {
  if (!/^https?:/.test(text)) return text;
  if (!URL.canParse(text)) return undefined;
  const { protocol, hostname, username, password } = new URL(text);
  // A fetch refuses such a URL with an error that quotes it.
  if (username !== "" || password !== "") return undefined;
  return protocol === "https:" || isLoopback(`${hostname}:80`) ? text : undefined;
}

function parseHttpUrl(text: string): string | undefined {
  return URL.canParse(text) && /^https?:$/.test(new URL(text).protocol) ? text : undefined;
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
