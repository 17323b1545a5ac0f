/**
 * Runs a job, once at a time. Whoever asks while it runs shares one run that begins afterwards, so that every caller gets
 * a run that began after the call.
 */
export class SharedRun<T> {
  readonly #job: () => Promise<T>;
  #current: Promise<unknown> = Promise.resolve();
  #next: Promise<T> | undefined;

  constructor(job: () => Promise<T>) {
    this.#job = job;
  }

  /** Settles as the run does. */
  run(): Promise<T> {
    this.#next ??= this.#begin();
    return this.#next;
  }

  async #begin(): Promise<T> {
    await this.#current;
    this.#next = undefined;
    const run = this.#job();
    this.#current = run.catch(() => undefined);
    return run;
  }
}
