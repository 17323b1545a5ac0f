import type { Writable } from "node:stream";

const BAR_WIDTH = 24;

/** Shows a progress bar on one line of a terminal. Does nothing if `stream` is not a terminal. */
export class ProgressBar {
  readonly #stream: Writable;
  readonly #isTerminal: boolean;
  readonly #total: number;
  readonly #noun: string;
  #line = "";

  /** @param noun the noun for the count, for example `users` */
  constructor(stream: Writable & { isTTY?: boolean }, total: number, noun: string) {
    this.#stream = stream;
    this.#isTerminal = stream.isTTY === true;
    this.#total = total;
    this.#noun = noun;
  }

  /** Shows the progress. Draws only if the line has changed. */
  show(done: number): void {
    const share = this.#total === 0 ? 1 : done / this.#total;
    const bar = "#".repeat(Math.floor(share * BAR_WIDTH)).padEnd(BAR_WIDTH, "-");
    const percent = `${Math.floor(share * 100)}`.padStart(3);
    this.#draw(`[${bar}] ${percent}% of ${this.#total} ${this.#noun}`);
  }

  /** Clears the line. */
  clear(): void {
    this.#draw("");
  }

  #draw(line: string): void {
    if (!this.#isTerminal || line === this.#line) return;
    const blank = line === "" ? `\r${" ".repeat(this.#line.length)}` : "";
    this.#line = line;
    this.#stream.write(`${blank}\r${line}`);
  }
}
