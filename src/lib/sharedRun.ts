/** The callers that share a run: the number that has not given up. */
interface Sharers {
  count: number;
  /** Aborted when the last caller has given up. */
  abort: AbortController;
}

interface PlannedRun<T> {
  result: Promise<T>;
  sharers: Sharers;
}

/**
 * Runs a job at most once at a time. Calls during a run share the next run. So every caller gets a run that
 * began after the call.
 */
export class SharedRun<T> {
  readonly #job: (signal: AbortSignal) => Promise<T>;
  #current: Promise<unknown> = Promise.resolve();
  #next: PlannedRun<T> | undefined;
  #isRunning = false;

  /** @param job should stop when its signal is aborted: all callers that shared the run have given up */
  constructor(job: (signal: AbortSignal) => Promise<T>) {
    this.#job = job;
  }

  /** True while the job runs. */
  get isRunning(): boolean {
    return this.#isRunning;
  }

  /** Settles like the run. Rejects with the reason of `signal` as soon as that is aborted. */
  run(signal?: AbortSignal): Promise<T> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    this.#next ??= this.#plan();
    const { result, sharers } = this.#next;
    sharers.count++;
    if (signal === undefined) return result;
    return new Promise((resolve, reject) => {
      const giveUp = () => {
        reject(signal.reason);
        sharers.count--;
        if (sharers.count > 0) return;
        sharers.abort.abort(signal.reason);
        if (this.#next?.sharers === sharers) this.#next = undefined;
      };
      signal.addEventListener("abort", giveUp, { once: true });
      void result.then(resolve, reject).finally(() => signal.removeEventListener("abort", giveUp));
    });
  }

  #plan(): PlannedRun<T> {
    const sharers = { count: 0, abort: new AbortController() };
    return { result: this.#begin(sharers), sharers };
  }

  async #begin(sharers: Sharers): Promise<T> {
    const { signal } = sharers.abort;
    await this.#current;
    signal.throwIfAborted();
    this.#next = undefined;
    this.#isRunning = true;
    const run = this.#job(signal).finally(() => {
      this.#isRunning = false;
    });
    this.#current = run.catch(() => undefined);
    return run;
  }
}
