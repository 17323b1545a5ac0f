import { setTimeout as sleep } from "node:timers/promises";
import { Counts } from "../counts.js";
import type { FaultKind } from "../faults/fault.js";
import { Run } from "../run.js";
import { type StandaloneOptions, StandaloneStore } from "../stores/standaloneStore.js";

/** How long the load continues before and after a fault, ms. */
const CALM_MS = 300;

/** Fleets that are reused from one trial to the next, because starting one takes longer than most faults. */
export class FleetPool {
  readonly counts = new Counts();
  readonly #idle: Run<StandaloneStore>[] = [];

  constructor(
    readonly seed: number,
    readonly options: StandaloneOptions = {},
  ) {}

  /**
   * Puts an idle or new fleet under load, and checks all laws afterwards. A fleet that broke a law is not reused.
   *
   * @throws Error with the seed and the broken laws
   */
  async trial(ordeal: (run: Run<StandaloneStore>) => Promise<void>): Promise<void> {
    const run = this.#idle.pop() ?? (await Run.start(await StandaloneStore.start(this.options), { seed: this.seed }));
    try {
      run.workload.start();
      await ordeal(run);
      await run.rest();
      const violations = run.newViolations();
      if (violations.length > 0) throw new Error(`seed ${this.seed}\n${run.describe(violations)}`);
    } catch (error) {
      await this.#end(run);
      throw error;
    }
    this.#idle.push(run);
  }

  /**
   * Puts a fleet under load through one fault.
   *
   * @throws Error as {@link FleetPool.trial} does
   */
  endure({ name, create }: FaultKind<StandaloneStore>): Promise<void> {
    return this.trial(async (run) => {
      await sleep(CALM_MS);
      await run.suffer(name, create(run, run.random.fork(name)));
      await sleep(CALM_MS);
    });
  }

  /** Ends all fleets. */
  async close(): Promise<void> {
    await Promise.all(this.#idle.splice(0).map((run) => this.#end(run)));
  }

  async #end(run: Run<StandaloneStore>): Promise<void> {
    this.counts.add(run.history, run.injected, run.fleet.store.refused);
    await run.stop();
  }
}
