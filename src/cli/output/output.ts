import { once } from "node:events";
import type { Writable } from "node:stream";
import { type DescMessage, type MessageShape, toJson } from "@bufbuild/protobuf";
import Table from "cli-table3";
import picocolors from "picocolors";
import type { Terminal } from "./screen.js";

// A reason or a name must not bring terminal escapes, nor characters that change the direction of text.
const unprintable = /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]/gu;

/** Returns `text` on one line. Characters that could control a terminal are replaced by escapes such as `\u001b`. */
export function printable(text: string): string {
  return text.replace(unprintable, (character) => {
    const code = character.codePointAt(0)?.toString(16).padStart(4, "0");
    return `\\u${code}`;
  });
}

// No borders. Two spaces separate the columns.
const NO_BORDERS = Object.fromEntries(
  ["top", "bottom", "left", "right", "mid"]
    .flatMap((side) => [side, `${side}-mid`, `${side}-left`, `${side}-right`])
    .concat("middle", "mid-mid", "left-mid", "right-mid")
    .map((name) => [name, ""]),
);

/** Formats a heading and rows as lines with aligned columns. Cells must be printable. */
export function formatTable(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const table = new Table({
    head: [...head],
    chars: NO_BORDERS,
    style: { "padding-left": 0, "padding-right": 2, head: [], border: [], compact: true },
  });
  table.push(...rows.map((row) => [...row]));
  return table
    .toString()
    .split("\n")
    .map((line) => line.trimEnd());
}

export type Colors = ReturnType<typeof picocolors.createColors>;

/** Prints the results of a command on stdout: text for people, or JSON lines for programs. */
export class Output {
  /** Adds colours if stdout is a terminal and NO_COLOR is not set. */
  readonly colors: Colors;
  /** The terminal that can show a live page; undefined if stdout is not such a terminal. */
  readonly terminal: Terminal | undefined;
  readonly #stdout: Writable;

  constructor(stdout: Terminal & { isTTY?: boolean }, env: NodeJS.ProcessEnv) {
    this.#stdout = stdout;
    this.terminal = stdout.isTTY === true && env.TERM !== "dumb" ? stdout : undefined;
    this.colors = picocolors.createColors(stdout.isTTY === true && !env.NO_COLOR && env.TERM !== "dumb");
  }

  /** Writes a line. Resolves when the stream accepts more, so that a slow reader slows the command. */
  async line(text: string): Promise<void> {
    if (!this.#stdout.write(`${text}\n`)) await once(this.#stdout, "drain");
  }

  /** Writes a heading and rows with aligned columns. Cells are made printable. */
  async table(head: readonly string[], rows: readonly (readonly string[])[]): Promise<void> {
    const coloured = head.map((cell) => this.colors.dim(cell));
    const lines = formatTable(
      coloured,
      rows.map((row) => row.map(printable)),
    );
    for (const line of lines) await this.line(line);
  }

  /** Writes a message as one line of protobuf JSON, including empty lists and default values. */
  json<D extends DescMessage>(schema: D, message: MessageShape<D>): Promise<void> {
    return this.line(JSON.stringify(toJson(schema, message, { alwaysEmitImplicit: true })));
  }
}
