import { INGEST, INGEST_GENERATION } from "../keys.js";
import type { RunScript } from "../scripts/scripts.js";

/**
 * The tickets of one process: each is above all that it has taken or seen, also where Redis has lost the counter and its
 * clock has gone back.
 */
export class Tickets {
  readonly #run: RunScript;
  #newest = 0;

  /** @param run on the Redis to which the control plane publishes */
  constructor(run: RunScript) {
    this.#run = run;
  }

  /** The newest that this process knows of, 0 if none. */
  get newest(): number {
    return this.#newest;
  }

  /** A ticket has come through the subscription. */
  note(ticket: number): void {
    if (Number.isSafeInteger(ticket) && ticket > this.#newest) this.#newest = ticket;
  }

  /** Takes one, at least that high, and publishes it in the order of the updates. Rejects with `unavailable`. */
  async take(atLeast = 0): Promise<number> {
    const args = [INGEST, Math.max(atLeast, this.#newest + 1)];
    const ticket = (await this.#run("take-ticket", [INGEST_GENERATION], args)) as number;
    this.note(ticket);
    return ticket;
  }
}
