/** Texts that are remembered before all are forgotten, so that names which come and go do not pile up. */
const MAX_TEXTS = 100_000;

/**
 * One string for equal texts, for those that are held many times. What is parsed has strings of its own each time, and
 * four channel ids of a user take more memory than all else that is known of the user.
 */
export class SharedTexts {
  readonly #known = new Map<string, string>();

  /** The string that is held already where there is one with that text, else this one. */
  share(text: string): string {
    const known = this.#known.get(text);
    if (known !== undefined) return known;
    if (this.#known.size >= MAX_TEXTS) this.#known.clear();
    this.#known.set(text, text);
    return text;
  }
}
