import type { ChildProcess } from "node:child_process";
import { parseConfig } from "../../src/server/config.js";
import { type Replica, type Seams, start } from "../../src/server/start.js";
import { endChild, isRunning, startChild } from "./childProcess.js";
import { collectLines } from "./collectLines.js";
import { waitFor } from "./waitFor.js";

const START_TIMEOUT_MS = 60_000;

/**
 * Starts a replica inside this process, in memory and silent, on free ports of 127.0.0.1.
 *
 * @param overrides flags of `squelch serve` in camel case, for example `{ redisUrl }`
 * @param seams parts of the replica to replace
 */
export function startSquelch(overrides: Readonly<Record<string, string>> = {}, seams: Seams = {}): Promise<Replica> {
  const flags = { grpcAddress: "127.0.0.1:0", httpAddress: "127.0.0.1:0", logLevel: "silent", ...overrides };
  return start(parseConfig(flags, {}), seams);
}

/** A replica that runs in its own process, as in production. */
export interface SquelchProcess extends Omit<Replica, "close"> {
  readonly pid: number;
  /** Each line of its log so far. */
  readonly lines: readonly string[];
  /** Resolves with the exit code, or null if a signal ended it, once it has ended. */
  readonly exited: Promise<number | null>;
  /** Sends a signal; does not wait. */
  kill(signal: NodeJS.Signals): void;
  /** Drains it by SIGTERM and waits for its end. Idempotent. */
  stop(): Promise<void>;
}

/** The arguments of node that `spawnSquelch` uses. */
const PROGRAM = ["bin/squelch", "serve"];

/**
 * Runs the built `bin/squelch serve` on free ports. Resolves when it logs that it serves.
 *
 * @param args more arguments, for example `["--redis-url", url]`
 * @param env more environment variables; SQUELCH_* variables of this process are not passed on
 * @param program another program with the same arguments and the same log: arguments of node
 */
export async function spawnSquelch(
  args: readonly string[] = [],
  env: Readonly<Record<string, string>> = {},
  program: readonly string[] = PROGRAM,
): Promise<SquelchProcess> {
  const ports = ["--grpc-address", "127.0.0.1:0", "--http-address", "127.0.0.1:0"];
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith("SQUELCH_"));
  const child = await startChild(process.execPath, [...program, ...ports, ...args], {
    env: { ...Object.fromEntries(inherited), ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const lines = collectLines(child.stdout);
  const complaints = collectLines(child.stderr);
  const exited = new Promise<number | null>((resolve) => {
    child.once("close", (code) => resolve(code));
  });
  const { grpcAddress, httpAddress } = await waitForServing(child, lines, complaints);
  return {
    grpcAddress,
    httpAddress,
    pid: child.pid as number,
    lines,
    exited,
    kill: (signal) => void child.kill(signal),
    stop: () => endChild(child, "SIGTERM"),
  };
}

async function waitForServing(
  child: ChildProcess,
  lines: string[],
  complaints: string[],
): Promise<Omit<Replica, "close">> {
  const said = () => [...lines, ...complaints].join("\n");
  try {
    const line = await waitFor(
      () => {
        const found = lines.find((text) => text.includes('"msg":"serving"'));
        if (found === undefined && !isRunning(child)) throw new Error(`squelch ended at once:\n${said()}`);
        return found;
      },
      { timeoutMs: START_TIMEOUT_MS, message: () => `squelch to serve:\n${said()}` },
    );
    return JSON.parse(line) as Omit<Replica, "close">;
  } catch (error) {
    await endChild(child, "SIGKILL");
    throw error;
  }
}
