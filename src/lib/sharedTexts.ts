/** The most texts that are stored. Beyond that all are removed, so that unused texts do not stay. */
const MAX_TEXTS = 100_000;

/**
 * Replaces equal texts by one string, to save memory where many copies of a text are kept. Parsing creates a new string
 * each time, and the four channel ids of a user would take more memory than the rest of the user's entry.
 */
export class SharedTexts {
  readonly #known = new Map<string, string>();

  /** Returns the stored string with that text. If there is none, stores and returns `text`. */
  share(text: string): string {
    const known = this.#known.get(text);
    if (known !== undefined) return known;
    if (this.#known.size >= MAX_TEXTS) this.#known.clear();
    this.#known.set(text, text);
    return text;
  }
}
