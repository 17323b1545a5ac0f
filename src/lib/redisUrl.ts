import { type HostPort, parseHostPort } from "./hostPort.js";

interface Access {
  tls: boolean;
  username?: string;
  password?: string;
}

/** The addresses, the topology and the credentials of a Redis. */
export type RedisTarget = Access &
  (
    | { topology: "standalone"; address: HostPort; database: number }
    | {
        topology: "sentinel";
        sentinels: HostPort[];
        masterName: string;
        database: number;
        sentinelUsername?: string;
        sentinelPassword?: string;
      }
    | { topology: "cluster"; nodes: HostPort[] }
  );

const REDIS_PORT = 6_379;
const SENTINEL_PORT = 26_379;

/**
 * Reads the URL of a Redis. Each topology has its own form; with TLS it begins with `rediss` instead of `redis`. The
 * default port is 6379, that of a sentinel 26379. Special characters in user and password are percent-encoded.
 *
 * - `redis://user:password@host:port/database`
 * - `redis+sentinel://user:password@host:port,host:port/master/database?sentinelUsername=&sentinelPassword=`
 * - `redis+cluster://user:password@host:port,host:port`
 *
 * @throws TypeError with a message that completes the sentence "must be …". It contains no secrets
 */
export function parseRedisUrl(url: string): RedisTarget {
  const [, secure, plus, authority = "", path = "", query = ""] =
    /^redis(s?)(?:\+(sentinel|cluster))?:\/\/([^/?#]*)(?:\/([^?#]*))?(?:\?([^#]*))?$/.exec(url) ??
    fail("like redis://host:port");
  const at = authority.lastIndexOf("@");
  const access = { tls: secure === "s", ...parseCredentials(authority.slice(0, Math.max(at, 0))) };
  const addresses = authority.slice(at + 1).split(",");
  const options = parseQuery(query, plus === "sentinel" ? ["sentinelUsername", "sentinelPassword"] : []);
  if (plus === "cluster") {
    if (path !== "") fail("without a database, which a Cluster has not");
    return { ...access, topology: "cluster", nodes: addresses.map((text) => parseAddress(text, REDIS_PORT)) };
  }
  if (plus === "sentinel") {
    const [masterName = "", database = ""] = splitPath(path, 2);
    if (masterName === "") fail("with the master's name behind the sentinels: /name");
    const sentinels = addresses.map((text) => parseAddress(text, SENTINEL_PORT));
    return { ...access, topology: "sentinel", sentinels, masterName, database: parseDatabase(database), ...options };
  }
  if (addresses.length > 1) fail("of one host, or redis+sentinel:// or redis+cluster:// of several");
  const [database = ""] = splitPath(path, 1);
  const address = parseAddress(addresses[0] as string, REDIS_PORT);
  return { ...access, topology: "standalone", address, database: parseDatabase(database) };
}

/** Returns the text without its secrets. The text need not be a valid URL. */
export function redactRedisUrl(text: string): string {
  return text.replace(/^([\w+]*:?\/*).*@/s, "$1***@").replace(/(\?|&)([^=&]*)=[^&]*/g, "$1$2=***");
}

function fail(expected: string): never {
  throw new TypeError(`a Redis URL ${expected}`);
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return fail("with percent-encoding where a letter is not plain");
  }
}

function parseCredentials(text: string): { username?: string; password?: string } {
  if (text === "") return {};
  const colon = text.indexOf(":");
  if (colon < 0) fail("with a password behind the user: user:password@");
  const username = decode(text.slice(0, colon));
  const password = decode(text.slice(colon + 1));
  return username === "" ? { password } : { username, password };
}

function parseAddress(text: string, defaultPort: number): HostPort {
  const address = parseHostPort(text, defaultPort);
  return address?.port ? address : fail("with host:port after //, the port from 1 to 65535");
}

function splitPath(path: string, maxParts: number): string[] {
  const parts = path.split("/").map(decode);
  if (parts.length > maxParts) fail("with nothing behind the database");
  return parts;
}

function parseDatabase(text: string): number {
  return /^\d{0,4}$/.test(text) ? Number(text) : fail("with a number as database");
}

function parseQuery(query: string, known: readonly string[]): Record<string, string> {
  const options = Object.fromEntries(new URLSearchParams(query));
  const unknown = Object.keys(options).find((name) => !known.includes(name));
  if (unknown !== undefined) fail(`without the option ${unknown}`);
  return options;
}
