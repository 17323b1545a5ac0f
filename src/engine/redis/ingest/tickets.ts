import { INGEST, INGEST_GENERATION } from "../keys.js";
import type { RunScript } from "../scripts/scripts.js";

/**
 * Takes the tickets of one process. Each ticket is higher than all that the process has taken or seen, even if Redis
 * has lost the counter and its clock was set back.
 */
export class Tickets {
  readonly #run: RunScript;
  #newest = 0;

  /** @param run runs scripts on the Redis to which the control plane publishes */
  constructor(run: RunScript) {
    this.#run = run;
  }

  /** The newest ticket that this process knows of; 0 if none. */
  get newest(): number {
    return this.#newest;
  }

  /** Notes a ticket that came through the subscription. */
  note(ticket: number): void {
    if (Number.isSafeInteger(ticket) && ticket > this.#newest) this.#newest = ticket;
  }

  /**
   * Takes a ticket of at least that number and publishes it in the order of the updates. Rejects with `unavailable`.
   */
  async take(atLeast = 0): Promise<number> {
    const args = [INGEST, Math.max(atLeast, this.#newest + 1)];
    const ticket = (await this.#run("take-ticket", [INGEST_GENERATION], args)) as number;
    this.note(ticket);
    return ticket;
  }
}
