import type { ChildProcess } from "node:child_process";
import { endChild, findFreePort, isRunning, runProgram, startChild } from "../childProcess.js";
import { waitFor } from "../waitFor.js";

const START_ATTEMPTS = 5;
/** Another server with Redis's protocol and options, such as Valkey, may take the place of Debian's Redis. */
const REDIS_SERVER = process.env.SQUELCH_TEST_REDIS_SERVER || "redis-server";

/** A running redis-server of any kind. */
export interface RedisProcess {
  readonly port: number;
  /** The process id; it changes at `restart`. */
  readonly pid: number;
  /** False after `kill` and while it is paused. */
  readonly isAnswering: boolean;
  /** Returns what redis-cli prints, without the last line break. Rejects on an error reply. */
  cli(...args: string[]): Promise<string>;
  /** Shuts it down and waits for its end. Idempotent. */
  stop(): Promise<void>;
  /** Sends a signal and waits for the end; `restart` starts it again. */
  kill(signal?: NodeJS.Signals): Promise<void>;
  /** Restarts it on the same port and directory, and ends it first if it runs. Without persistence it is empty then. */
  restart(): Promise<void>;
  /** Suspends it: connections stay open, but nothing answers. */
  pause(): void;
  /** Ends `pause`. */
  resume(): void;
}

interface ProcessOptions {
  port: number;
  /** The arguments of redis-server. The port is not added to them. */
  args: readonly string[];
  /** The text in its log that shows that it is ready. */
  readyMark?: string;
  /** More arguments of redis-cli. */
  cliArgs?: readonly string[];
}

async function launch({ args, readyMark = "Ready to accept connections" }: ProcessOptions): Promise<ChildProcess> {
  const child = await startChild(REDIS_SERVER, args, { stdio: ["ignore", "pipe", "pipe"] });
  let log = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8").on("data", (text: string) => {
      log = (log + text).slice(-4_096);
    });
  }
  // Its own log distinguishes it from another server on the port, and from one that is still loading.
  const isReady = () => {
    if (!isRunning(child)) throw new Error(`redis-server ended at once:\n${log}`);
    return log.includes(readyMark);
  };
  try {
    await waitFor(isReady, { timeoutMs: 10_000, message: () => `redis-server to become ready:\n${log}` });
  } catch (error) {
    await endChild(child, "SIGKILL");
    throw error;
  }
  return child;
}

/** Starts redis-server. Resolves when it answers; rejects with its log if it ends before. */
export async function startRedisProcess(options: ProcessOptions): Promise<RedisProcess> {
  const { port, cliArgs = [] } = options;
  let child = await launch(options);
  let isPaused = false;
  const resume = () => {
    isPaused = false;
    child.kill("SIGCONT");
  };
  const stop = async () => {
    resume();
    await endChild(child, "SIGTERM");
  };
  return {
    port,
    get pid() {
      return child.pid as number;
    },
    get isAnswering() {
      return isRunning(child) && !isPaused;
    },
    async cli(...command) {
      return (await runProgram("redis-cli", ["-e", "-p", `${port}`, ...cliArgs, ...command])).replace(/\n$/, "");
    },
    stop,
    kill: (signal = "SIGKILL") => endChild(child, signal),
    async restart() {
      await stop();
      child = await launch(options);
    },
    pause() {
      isPaused = true;
      child.kill("SIGSTOP");
    },
    resume,
  };
}

/** Calls `start` with a free port, and again with another one if another process has taken the port meanwhile. */
export async function onFreePort<T>(start: (port: number) => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await start(await findFreePort());
    } catch (error) {
      const isTaken = error instanceof Error && error.message.includes("Address already in use");
      if (!isTaken || attempt === START_ATTEMPTS) throw error;
    }
  }
}
