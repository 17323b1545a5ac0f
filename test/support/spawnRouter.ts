import { endChild, isRunning, startChild } from "./childProcess.js";
import { collectLines } from "./collectLines.js";
import { waitFor } from "./waitFor.js";

/** A reference router that runs in its own process. */
export interface RouterProcess {
  readonly pid: number;
  readonly wsAddress: string;
  /** Sends a signal; does not wait. */
  kill(signal: NodeJS.Signals): void;
  /** Ends it by SIGTERM, continuing it before, and waits for its end. Idempotent. */
  stop(): Promise<void>;
}

/**
 * Runs the built `bin/squelch router` on a free port. Resolves when it listens.
 *
 * @param addresses of the replicas
 */
export async function spawnRouter(
  routerId: string,
  addresses: readonly string[],
  jwtSecret: string,
): Promise<RouterProcess> {
  const args = ["--address", addresses.join(","), "--listen", "127.0.0.1:0", "--router-id", routerId];
  const child = await startChild(process.execPath, ["bin/squelch", "router", ...args], {
    env: { PATH: process.env.PATH, SQUELCH_JWT_SECRET: jwtSecret },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const lines = [collectLines(child.stdout), collectLines(child.stderr)];
  const said = () => lines.flat().join("\n");
  const line = await waitFor(
    () => {
      if (!isRunning(child)) throw new Error(`the router ended at once:\n${said()}`);
      return lines.flat().find((text) => text.includes('"msg":"listening"'));
    },
    { timeoutMs: 15_000, message: () => `the router to listen:\n${said()}` },
  );
  return {
    pid: child.pid as number,
    wsAddress: (JSON.parse(line) as { wsAddress: string }).wsAddress,
    kill: (signal) => void child.kill(signal),
    async stop() {
      child.kill("SIGCONT");
      await endChild(child, "SIGTERM");
    },
  };
}
