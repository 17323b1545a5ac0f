/** Calls a function when the token of a client ends. */
export class TokenLifetime {
  readonly #expire: () => void;
  #timer: NodeJS.Timeout | undefined;

  constructor(endsAtMs: number, expire: () => void) {
    this.#expire = expire;
    this.extend(endsAtMs);
  }

  /** Replaces the end of the token, ms since 1970. */
  extend(endsAtMs: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#expire, Math.max(endsAtMs - Date.now(), 0)).unref();
  }

  /** Ends the wait. Idempotent. */
  end(): void {
    clearTimeout(this.#timer);
  }
}
