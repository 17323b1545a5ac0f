import type { Writable } from "node:stream";

/** A terminal with its size. */
export interface Terminal extends Writable {
  readonly columns?: number;
  readonly rows?: number;
}

const ENTER = "\u001b[?1049h\u001b[?25l";
const LEAVE = "\u001b[?25h\u001b[?1049l";
const HOME = "\u001b[H";
const CLEAR_LINE = "\u001b[K";
const CLEAR_BELOW = "\u001b[J";
/** The shortest time between two frames, ms. */
const FRAME_MS = 100;
/** The time between frames without a change, ms. They update clocks on the page. */
const IDLE_MS = 1_000;

/** Draws a live page on the alternate screen of a terminal. `close` restores the normal screen. */
export class Screen {
  readonly #terminal: Terminal;
  readonly #draw: (size: { columns: number; rows: number }) => string[];
  readonly #ticking: NodeJS.Timeout;
  #pending: NodeJS.Timeout | undefined;

  /** @param draw returns the lines of the page, which must fit into the size */
  constructor(terminal: Terminal, draw: (size: { columns: number; rows: number }) => string[]) {
    this.#terminal = terminal;
    this.#draw = draw;
    terminal.write(ENTER);
    terminal.on("resize", this.changed);
    this.#ticking = setInterval(() => this.#show(), IDLE_MS);
    this.#show();
  }

  /** Draws the page soon, after a change. */
  readonly changed = (): void => {
    this.#pending ??= setTimeout(() => this.#show(), FRAME_MS);
  };

  /** Restores the normal screen. */
  close(): void {
    clearInterval(this.#ticking);
    clearTimeout(this.#pending);
    this.#terminal.off("resize", this.changed);
    this.#terminal.write(LEAVE);
  }

  #show(): void {
    clearTimeout(this.#pending);
    this.#pending = undefined;
    // A stopped terminal accepts no output. The next frame will show the same state.
    if (this.#terminal.writableNeedDrain) return;
    const { columns = 80, rows = 24 } = this.#terminal;
    const lines = this.#draw({ columns, rows });
    this.#terminal.write(HOME + lines.map((line) => line + CLEAR_LINE).join("\r\n") + CLEAR_BELOW);
  }
}
