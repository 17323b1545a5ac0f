/** The time between two drawings of a hidden tab, ms. The browser draws no frames there. */
const HIDDEN_DELAY_MS = 250;

/** Notifies listeners of changes, at most once for each frame. */
export class Ticker {
  readonly #listeners = new Set<() => void>();
  #isDue = false;

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Notifies the listeners soon, after a change. */
  readonly mark = (): void => {
    if (this.#isDue) return;
    this.#isDue = true;
    const run = () => {
      if (!this.#isDue) return;
      this.#isDue = false;
      for (const listener of this.#listeners) listener();
    };
    if (document.hidden) setTimeout(run, HIDDEN_DELAY_MS);
    else requestAnimationFrame(run);
  };
}
