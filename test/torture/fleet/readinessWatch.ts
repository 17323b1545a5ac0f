import type { ReadinessRecord } from "../record/history.js";
import type { ReplicaProcess } from "./replicaProcess.js";

const INTERVAL_MS = 250;

/** Asks each replica four times a second whether it is ready. */
export class ReadinessWatch {
  readonly records: ReadinessRecord[] = [];
  readonly #timer: NodeJS.Timeout;
  readonly #asked = new Set<string>();

  constructor(replicas: readonly ReplicaProcess[]) {
    this.#timer = setInterval(() => {
      for (const replica of replicas) if (!this.#asked.has(replica.name)) void this.#ask(replica);
    }, INTERVAL_MS);
  }

  close(): void {
    clearInterval(this.#timer);
  }

  // The state in an answer may be as old as the request.
  async #ask(replica: ReplicaProcess): Promise<void> {
    this.#asked.add(replica.name);
    const at = performance.now();
    this.records.push({ replica: replica.name, at, isReady: await replica.isReady() });
    this.#asked.delete(replica.name);
  }
}
