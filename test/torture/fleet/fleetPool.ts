import { Counts } from "../counts.js";
import { Run } from "../run.js";
import { type StandaloneOptions, StandaloneStore } from "../stores/standaloneStore.js";

/** Fleets that go from one trial to the next: starting one takes longer than most faults. */
export class FleetPool {
  readonly counts = new Counts();
  readonly #idle: Run<StandaloneStore>[] = [];

  constructor(
    readonly seed: number,
    readonly options: StandaloneOptions = {},
  ) {}

  /**
   * Puts an idle fleet, or a new one, under load, and checks all laws afterwards. A fleet that broke one is given up.
   *
   * @throws Error that tells the seed and the broken laws
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

  /** Ends all fleets. */
  async close(): Promise<void> {
    await Promise.all(this.#idle.splice(0).map((run) => this.#end(run)));
  }

  async #end(run: Run<StandaloneStore>): Promise<void> {
    this.counts.add(run.history, run.injected, run.fleet.store.refused);
    await run.stop();
  }
}
