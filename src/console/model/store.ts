/** How long changes are collected before the page is drawn again, ms, where the browser draws no frames (a hidden tab). */
const HIDDEN_DELAY_MS = 250;

/** Tells listeners that something has changed, at most once a frame. */
export class Ticker {
  readonly #listeners = new Set<() => void>();
  #isDue = false;

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Something has changed. */
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
