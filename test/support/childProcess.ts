import { type ChildProcess, execFile, type SpawnOptions, spawn } from "node:child_process";
import { randomInt } from "node:crypto";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { createServer } from "node:net";
import { promisify } from "node:util";

// On Linux the kernel ends a child when its parent ends, also if the parent was killed.
const SETPRIV = "/usr/bin/setpriv";
const TETHER = existsSync(SETPRIV) ? [SETPRIV, "--pdeathsig", "KILL", "--"] : [];

const LEAST_PORT = 10_000;
/** The lowest port that Linux gives to outgoing connections: ip_local_port_range in ip(7). */
const EPHEMERAL_PORT = 32_768;

const living = new Set<ChildProcess>();
process.on("exit", () => {
  for (const child of living) child.kill("SIGKILL");
});

/** Starts a program that ends when this process ends. A program that does not exist ends at once or rejects. */
export async function startChild(
  program: string,
  args: readonly string[],
  options: SpawnOptions,
): Promise<ChildProcess> {
  const [command = program, ...rest] = [...TETHER, program, ...args];
  const child = spawn(command, rest, options);
  living.add(child);
  child.once("exit", () => living.delete(child));
  await once(child, "spawn");
  return child;
}

/** True if the program has not ended yet. */
export function isRunning(child: ChildProcess): boolean {
  return child.exitCode === null && child.signalCode === null;
}

/** Sends a signal and, after one that ends programs, waits for the end; SIGKILL follows after `timeoutMs`. */
export async function endChild(child: ChildProcess, signal: NodeJS.Signals, timeoutMs = 10_000): Promise<void> {
  if (!isRunning(child)) return;
  const exited = once(child, "exit");
  child.kill(signal);
  const timer = setTimeout(() => child.kill("SIGKILL"), timeoutMs);
  await exited;
  clearTimeout(timer);
}

/** Runs a program to its end and resolves with its standard output. Rejects with its output if it fails. */
export async function runProgram(
  program: string,
  args: readonly string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv; timeoutMs?: number } = {},
): Promise<string> {
  const { timeoutMs = 10_000, cwd = process.cwd(), env = process.env } = options;
  const { stdout } = await promisify(execFile)(program, args, {
    cwd,
    env,
    timeout: timeoutMs,
    maxBuffer: 64 * 1_024 * 1_024,
  });
  return stdout;
}

// Ports are searched one after another, so that servers that start at the same time get different ports.
let nextPort = randomInt(LEAST_PORT, EPHEMERAL_PORT);

/**
 * Finds a TCP port of 127.0.0.1 that was free a moment ago. The port is not used for outgoing connections, so it stays
 * free while a server is being restarted.
 */
export async function findFreePort(): Promise<number> {
  for (;;) {
    const port = nextPort;
    nextPort = port + 1 < EPHEMERAL_PORT ? port + 1 : LEAST_PORT;
    if (await isFree(port)) return port;
  }
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  try {
    await once(server.listen(port, "127.0.0.1"), "listening");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EADDRINUSE") return false;
    throw error;
  }
  server.close();
  await once(server, "close");
  return true;
}
