import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { waitFor } from "../waitFor.js";
import { onFreePort, type RedisProcess, startRedisProcess } from "./redisProcess.js";

const LEAK_TIMEOUT_MS = 1_000;

/** The authority behind the certificate of `startRedis({ tls: true })`: the file for NODE_EXTRA_CA_CERTS. */
export const TEST_CA = fileURLToPath(new URL("../tls/ca.crt", import.meta.url));
const CERTIFICATE = fileURLToPath(new URL("../tls/server.crt", import.meta.url));
const CERTIFICATE_KEY = fileURLToPath(new URL("../tls/server.key", import.meta.url));

export interface RedisOptions {
  /** More arguments of redis-server; they override the defaults (no persistence). */
  args?: readonly string[];
  /** Where it keeps its files; a new directory, removed at `stop`, if not given. */
  dir?: string;
  /** A free port if not given. */
  port?: number;
  /** TLS only, with a certificate that `TEST_CA` vouches for. */
  tls?: boolean;
}

/** A private redis-server on 127.0.0.1 that ends with this process at the latest. */
export interface RedisServer extends RedisProcess {
  readonly url: string;
  /**
   * Shuts it down, waits for its end, and removes its files. Idempotent. Rejects if a connection of Squelch is still
   * open: its owner has to close it first.
   */
  stop(): Promise<void>;
}

function launch(port: number, dir: string, { args = [], tls = false }: RedisOptions): Promise<RedisProcess> {
  const certificate = [
    "--tls-ca-cert-file",
    TEST_CA,
    "--tls-cert-file",
    CERTIFICATE,
    "--tls-key-file",
    CERTIFICATE_KEY,
  ];
  const listen = tls
    ? ["--port", "0", "--tls-port", `${port}`, ...certificate, "--tls-auth-clients", "no"]
    : ["--port", `${port}`];
  return startRedisProcess({
    port,
    args: [...listen, "--bind", "127.0.0.1", "--dir", dir, "--save", "", "--appendonly", "no", ...args],
    cliArgs: tls ? ["--tls", "--cacert", TEST_CA] : [],
  });
}

async function listLeaks(redis: RedisProcess): Promise<string[]> {
  const deadline = performance.now() + LEAK_TIMEOUT_MS;
  // Redis notices a closed connection a moment later.
  return waitFor(async () => {
    const clients = (await redis.cli("CLIENT", "LIST")).split("\n");
    const leaks = clients.filter((client) => client.includes(" name=squelch-"));
    return leaks.length === 0 || performance.now() >= deadline ? leaks : undefined;
  });
}

/** Starts a redis-server of its own for a test. Resolves when it answers. */
export async function startRedis(options: RedisOptions = {}): Promise<RedisServer> {
  const dir = options.dir ?? (await mkdtemp(join(tmpdir(), "squelch-redis-")));
  const start = (port: number) => launch(port, dir, options);
  const redis = options.port === undefined ? await onFreePort(start) : await start(options.port);
  // This is not a copy, because some properties change.
  return Object.assign(Object.create(redis) as RedisProcess, {
    url: `${options.tls ? "rediss" : "redis"}://127.0.0.1:${redis.port}`,
    async stop() {
      redis.resume();
      let leaks: string[] = [];
      try {
        if (redis.isAnswering) leaks = await listLeaks(redis);
      } finally {
        await redis.stop();
        if (options.dir === undefined) await rm(dir, { recursive: true, force: true });
      }
      if (leaks.length > 0) throw new Error(`Connections were left open:\n${leaks.join("\n")}`);
    },
  });
}
