import type { ChildProcess } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { endChild, findFreePort, isRunning, runProgram, startChild } from "./childProcess.js";
import { waitFor } from "./waitFor.js";

const START_ATTEMPTS = 5;
const LEAK_TIMEOUT_MS = 1_000;

export interface RedisOptions {
  /** More arguments of redis-server; they override the defaults (no persistence). */
  args?: readonly string[];
  /** Where it keeps its files; a new directory, removed at `stop`, if not given. */
  dir?: string;
  /** A free port if not given. */
  port?: number;
}

/** A private redis-server on 127.0.0.1 that ends with this process at the latest. */
export interface RedisServer {
  readonly url: string;
  readonly port: number;
  /** Another one after `restart`. */
  readonly pid: number;
  /** What redis-cli prints, without the last line break. Rejects on an error reply. */
  cli(...args: string[]): Promise<string>;
  /**
   * Ends it in the orderly way, waits for that, and removes its files. Idempotent. Rejects if a connection of Squelch's
   * is still open then: whoever made it has to close it first.
   */
  stop(): Promise<void>;
  /** Sends a signal and waits for the end; `restart` starts it again. */
  kill(signal?: NodeJS.Signals): Promise<void>;
  /** Starts it again on the same port and directory, ending it first if it runs. Without persistence it is empty then. */
  restart(): Promise<void>;
  /** Stops it in its tracks: connections stay open, nothing answers. */
  pause(): void;
  /** Ends `pause`. */
  resume(): void;
}

async function launch(port: number, dir: string, args: readonly string[]): Promise<ChildProcess> {
  const defaults = ["--port", `${port}`, "--bind", "127.0.0.1", "--dir", dir, "--save", "", "--appendonly", "no"];
  const child = await startChild("redis-server", [...defaults, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  let log = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8").on("data", (text: string) => {
      log = (log + text).slice(-4_096);
    });
  }
  // Its own log tells it apart from another server on the port, and from one that is still loading.
  const isReady = () => {
    if (!isRunning(child)) throw new Error(`redis-server ended at once:\n${log}`);
    return log.includes("Ready to accept connections");
  };
  try {
    await waitFor(isReady, { timeoutMs: 10_000, message: () => `redis-server to become ready:\n${log}` });
  } catch (error) {
    await endChild(child, "SIGKILL");
    throw error;
  }
  return child;
}

async function launchOnFreePort(dir: string, args: readonly string[]): Promise<{ child: ChildProcess; port: number }> {
  for (let attempt = 1; ; attempt++) {
    const port = await findFreePort();
    try {
      return { child: await launch(port, dir, args), port };
    } catch (error) {
      // Somebody else may have taken the port in between.
      const isTaken = error instanceof Error && error.message.includes("Address already in use");
      if (!isTaken || attempt === START_ATTEMPTS) throw error;
    }
  }
}

async function listLeaks(redis: RedisServer): Promise<string[]> {
  const deadline = performance.now() + LEAK_TIMEOUT_MS;
  // Redis learns of a closed connection a moment later.
  return waitFor(async () => {
    const clients = (await redis.cli("CLIENT", "LIST")).split("\n");
    const leaks = clients.filter((client) => client.includes(" name=squelch-"));
    return leaks.length === 0 || performance.now() >= deadline ? leaks : undefined;
  });
}

/** Starts a redis-server of its own for a test. Resolves when it answers. */
export async function startRedis(options: RedisOptions = {}): Promise<RedisServer> {
  const { args = [] } = options;
  const dir = options.dir ?? (await mkdtemp(join(tmpdir(), "squelch-redis-")));
  const started =
    options.port === undefined
      ? await launchOnFreePort(dir, args)
      : { child: await launch(options.port, dir, args), port: options.port };
  const { port } = started;
  let { child } = started;

  const redis: RedisServer = {
    url: `redis://127.0.0.1:${port}`,
    port,
    get pid() {
      return child.pid as number;
    },
    cli: async (...command) => (await runProgram("redis-cli", ["-e", "-p", `${port}`, ...command])).replace(/\n$/, ""),
    async stop() {
      child.kill("SIGCONT");
      let leaks: string[] = [];
      try {
        if (isRunning(child)) leaks = await listLeaks(redis);
      } finally {
        await endChild(child, "SIGTERM");
        if (options.dir === undefined) await rm(dir, { recursive: true, force: true });
      }
      if (leaks.length > 0) throw new Error(`Connections were left open:\n${leaks.join("\n")}`);
    },
    kill: (signal = "SIGKILL") => endChild(child, signal),
    async restart() {
      child.kill("SIGCONT");
      await endChild(child, "SIGTERM");
      child = await launch(port, dir, args);
    },
    pause: () => void child.kill("SIGSTOP"),
    resume: () => void child.kill("SIGCONT"),
  };
  return redis;
}
