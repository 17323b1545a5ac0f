import { convergenceMs } from "./laws/convergence.js";
import { countUsers } from "./laws/latest.js";
import type { History, RouterRecord } from "./record/history.js";

/** Counts of the steps and faults of one or more runs. */
export class Counts {
  readonly #numbers = new Map<string, number>();
  readonly #faults = new Map<string, number>();
  readonly #refused = new Map<string, number>();
  #longestConvergenceMs = 0;

  /**
   * @param injected how often each fault was
   * @param refused how often replicas were answered with each error of Redis
   */
  add(history: History, injected: ReadonlyMap<string, number>, refused: ReadonlyMap<string, number> = new Map()): void {
    const { writes, witnessed, routers, rests } = history;
    this.#count("runs");
    const { newest, excused } = countUsers(history);
    this.#count("users at rest with the newest write", newest);
    this.#count(
      "users at rest with an older write, because no replica received the newest and their set does not contain it",
      excused,
    );
    for (const [name, times] of injected) this.#faults.set(name, (this.#faults.get(name) ?? 0) + times);
    for (const [code, times] of refused) this.#refused.set(code, (this.#refused.get(code) ?? 0) + times);
    for (const { path, answer } of writes.values()) {
      const outcome = answer?.ok ? "done" : `failed (${answer?.ok === false ? answer.code : "given up"})`;
      this.#count(`${path === "published" ? "publications" : path === "rpc" ? "calls" : "syncs"} ${outcome}`);
    }
    for (const record of witnessed) if (record.kind === "entry") this.#count("changes accepted");
    for (const records of routers.values()) this.#addRouter(records);
    for (const rest of rests) {
      for (const records of routers.values()) {
        this.#longestConvergenceMs = Math.max(this.#longestConvergenceMs, convergenceMs(rest, records));
      }
    }
  }

  /** Lines for people. */
  describe(seed: number): string {
    const numbers = [...this.#numbers].sort(([a], [b]) => a.localeCompare(b));
    const faults = [...this.#faults].sort(([a], [b]) => a.localeCompare(b));
    const refused = [...this.#refused].sort(([a], [b]) => a.localeCompare(b));
    return [
      `seed ${seed}`,
      ...numbers.map(([name, number]) => `${name}: ${number}`),
      `longest convergence: ${Math.round(this.#longestConvergenceMs)} ms`,
      ...refused.map(([code, times]) => `refused: ${code}: ${times}`),
      ...faults.map(([name, times]) => `fault: ${name}: ${times}`),
    ].join("\n");
  }

  #count(name: string, by = 1): void {
    this.#numbers.set(name, (this.#numbers.get(name) ?? 0) + by);
  }

  #addRouter(records: readonly RouterRecord[]): void {
    let isFirst = true;
    for (const record of records) {
      if (record.kind === "opened") {
        if (!isFirst && record.cursors.length > 0) this.#count("streams opened again");
        isFirst = false;
      } else if (record.kind === "changes") this.#count("changes delivered", record.entries.length);
      else if (record.kind === "checkpoint") this.#count("checkpoints");
      else if (record.kind === "snapshot" && record.isComplete) this.#count(`snapshots (${record.reason})`);
    }
    this.#count("events resumed without a snapshot", resumesIn(records));
  }
}

// An event whose stream had a cursor and received only changes.
function resumesIn(records: readonly RouterRecord[]): number {
  let resumes = 0;
  let pending = new Set<string>();
  for (const record of records) {
    if (record.kind === "opened") pending = new Set(record.cursors.map(({ eventId }) => eventId));
    else if (record.kind === "snapshot") pending.delete(record.eventId);
    else if (record.kind === "checkpoint") {
      resumes += record.cursors.filter(({ eventId }) => pending.delete(eventId)).length;
    }
  }
  return resumes;
}
