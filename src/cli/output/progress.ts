import type { Writable } from "node:stream";

const BAR_WIDTH = 24;

/** A bar on one line of a terminal; nothing at all where `stream` is none. */
export class ProgressBar {
  readonly #stream: Writable;
  readonly #isTerminal: boolean;
  readonly #total: number;
  readonly #noun: string;
  #line = "";

  /** @param noun what is counted, for example `users` */
  constructor(stream: Writable & { isTTY?: boolean }, total: number, noun: string) {
    this.#stream = stream;
    this.#isTerminal = stream.isTTY === true;
    this.#total = total;
    this.#noun = noun;
  }

  /** Draws anew where the percentage is another one. */
  show(done: number): void {
    const share = this.#total === 0 ? 1 : done / this.#total;
    const bar = "#".repeat(Math.floor(share * BAR_WIDTH)).padEnd(BAR_WIDTH, "-");
    const percent = `${Math.floor(share * 100)}`.padStart(3);
    this.#draw(`[${bar}] ${percent}% of ${this.#total} ${this.#noun}`);
  }

  /** Leaves an empty line behind. */
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
