import { existsSync, readFileSync } from "node:fs";

const SAMPLE_MS = 100;

/** A period in which processes were ready to run but got no CPU. */
export interface CpuWait {
  at: number;
  /** The length of the wait since the previous record, ms. */
  ms: number;
}

/**
 * Records how long a busy machine keeps this process from running, and the process that waits longest among several
 * others.
 */
export class CpuWaits {
  readonly records: CpuWait[] = [];
  readonly #pids: () => readonly number[];
  readonly #waitedMs = new Map<number, number>();
  readonly #timer: NodeJS.Timeout;

  /** @param pids the other processes that currently run */
  constructor(pids: () => readonly number[]) {
    this.#pids = pids;
    this.#timer = setInterval(() => this.#sample(), SAMPLE_MS);
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #sample(): void {
    const others = this.#pids().map((pid) => this.#increment(pid));
    this.records.push({ at: performance.now(), ms: this.#increment(process.pid) + Math.max(0, ...others) });
  }

  #increment(pid: number): number {
    const waitedMs = readWaitedMs(pid);
    const before = this.#waitedMs.get(pid) ?? waitedMs;
    this.#waitedMs.set(pid, waitedMs);
    return Math.max(0, waitedMs - before);
  }
}

// The wait of the main thread, which does all the work. It is unknown for a process that has ended.
function readWaitedMs(pid: number): number {
  const path = `/proc/${pid}/schedstat`;
  if (!existsSync(path)) return 0;
  const [, waitedNs] = readFileSync(path, "utf8").split(" ");
  return Number(waitedNs) / 1e6;
}

/** Returns how long the machine kept the processes from running between the two times, ms. */
export function waitedBetween(waits: readonly CpuWait[], from: number, to: number): number {
  const during = waits.filter(({ at }) => at >= from && at <= to + SAMPLE_MS);
  return during.reduce((sum, { ms }) => sum + ms, 0);
}
