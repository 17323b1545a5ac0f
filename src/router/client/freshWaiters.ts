/** Callers that wait until a client is fresh. */
export class FreshWaiters {
  readonly #waiting = new Set<(error?: Error) => void>();

  /**
   * Waits for the next `settle`: resolves if that has no error, else rejects with it.
   *
   * @param signal ends the wait early; the promise then rejects with its reason
   */
  async wait(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    let abort: (() => void) | undefined;
    let waiter: ((error?: Error) => void) | undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        waiter = (error) => (error === undefined ? resolve() : reject(error));
        this.#waiting.add(waiter);
        abort = () => reject(signal?.reason);
        signal?.addEventListener("abort", abort, { once: true });
      });
    } finally {
      if (waiter !== undefined) this.#waiting.delete(waiter);
      if (abort !== undefined) signal?.removeEventListener("abort", abort);
    }
  }

  /** Ends the wait of all present callers. */
  settle(error?: Error): void {
    for (const waiter of this.#waiting) waiter(error);
  }
}
