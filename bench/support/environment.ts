import { cpus, loadavg } from "node:os";
import { runProgram } from "../../test/support/childProcess.js";

/** What the figures of a run depend on. */
export interface Environment {
  cpu: string;
  cores: number;
  node: string;
  redis: string;
  /** Processes that wanted to run in the minute before, on average. */
  load: number;
}

/** Reads it from this machine. Rejects if there is no redis-server. */
export async function readEnvironment(): Promise<Environment> {
  const [cpu, ...others] = cpus();
  const redis = /v=(\S+)/.exec(await runProgram("redis-server", ["--version"]))?.[1];
  return {
    cpu: cpu?.model.trim() ?? "unknown",
    cores: 1 + others.length,
    node: process.version,
    redis: redis ?? "unknown",
    load: loadavg()[0] ?? 0,
  };
}
