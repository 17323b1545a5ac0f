import { cpus, loadavg, release, totalmem } from "node:os";
import grpcPackage from "@grpc/grpc-js/package.json" with { type: "json" };
import { runProgram } from "../../test/support/childProcess.js";

const NOT_INSTALLED = "not installed";

/** The properties of the machine that the figures of a run depend on. */
export interface Environment {
  cpu: string;
  cores: number;
  memoryGib: number;
  kernel: string;
  node: string;
  grpcJs: string;
  redis: string;
  nats: string;
  etcd: string;
  /** The load average of the last minute: processes that wanted to run. */
  load: number;
}

/** Reads the environment from this machine. Rejects if redis-server is not installed. */
export async function readEnvironment(): Promise<Environment> {
  const [cpu, ...others] = cpus();
  return {
    cpu: cpu?.model.trim() ?? "unknown",
    cores: 1 + others.length,
    memoryGib: totalmem() / 2 ** 30,
    kernel: release(),
    node: process.version,
    grpcJs: grpcPackage.version,
    redis: /v=(\S+)/.exec(await runProgram("redis-server", ["--version"]))?.[1] ?? "unknown",
    nats: await readVersion("nats-server", /: v(\S+)/),
    etcd: await readVersion("etcd", /etcd Version: (\S+)/),
    load: loadavg()[0] ?? 0,
  };
}

/** Describes the environment in one line. */
export function describeEnvironment({ cpu, cores, memoryGib, kernel, load, ...versions }: Environment): string {
  const { node, grpcJs, redis, nats, etcd } = versions;
  const machine = `${cpu}, ${cores} cores, ${memoryGib.toFixed(0)} GiB, Linux ${kernel}, load ${load.toFixed(2)} at the start`;
  return `${machine}; Node.js ${node}, grpc-js ${grpcJs}, Redis ${redis}, NATS ${nats}, etcd ${etcd}`;
}

async function readVersion(program: string, pattern: RegExp): Promise<string> {
  try {
    return pattern.exec(await runProgram(program, ["--version"]))?.[1] ?? "unknown";
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return NOT_INSTALLED;
    throw error;
  }
}
