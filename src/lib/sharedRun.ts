/**
 * Runs a job at most once at a time. Calls that come while it runs share the next run. So every caller gets a run that
 * began after the call.
 */
export class SharedRun<T> {
  readonly #job: () => Promise<T>;
  #current: Promise<unknown> = Promise.resolve();
  #next: Promise<T> | undefined;
  #isRunning = false;

  constructor(job: () => Promise<T>) {
    this.#job = job;
  }

  /** True while the job runs. */
  get isRunning(): boolean {
    return this.#isRunning;
  }

  /** Resolves or rejects with the result of the run. */
  run(): Promise<T> {
    this.#next ??= this.#begin();
    return this.#next;
  }

  async #begin(): Promise<T> {
    await this.#current;
    this.#next = undefined;
    this.#isRunning = true;
    const run = this.#job().finally(() => {
      this.#isRunning = false;
    });
    this.#current = run.catch(() => undefined);
    return run;
  }
}
