import { once } from "node:events";
import type { Writable } from "node:stream";
import { type DescMessage, type MessageShape, toJson } from "@bufbuild/protobuf";
import Table from "cli-table3";
import picocolors from "picocolors";
import type { Terminal } from "./screen.js";

// Terminal escapes, and the characters that turn the direction of text, must not come from a reason or a name.
const unprintable = /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]/gu;

/** `text` on one line, with whatever could steer a terminal written as an escape. */
export function printable(text: string): string {
  return text.replace(unprintable, (character) => {
    const code = character.codePointAt(0)?.toString(16).padStart(4, "0");
    return `\\u${code}`;
  });
}

// Columns apart by two spaces, no lines.
const NO_BORDERS = Object.fromEntries(
  ["top", "bottom", "left", "right", "mid"]
    .flatMap((side) => [side, `${side}-mid`, `${side}-left`, `${side}-right`])
    .concat("middle", "mid-mid", "left-mid", "right-mid")
    .map((name) => [name, ""]),
);

/** The rows under their heading as lines, columns aligned. Cells must be printable. */
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

/** What a command prints on stdout: for people, or as JSON lines for programs. */
export class Output {
  /** Colours if stdout is a terminal and NO_COLOR is not set, otherwise all plain. */
  readonly colors: Colors;
  /** Where people look at it, who can be shown a page that changes; undefined where they can't. */
  readonly terminal: Terminal | undefined;
  readonly #stdout: Writable;

  constructor(stdout: Terminal & { isTTY?: boolean }, env: NodeJS.ProcessEnv) {
    this.#stdout = stdout;
    this.terminal = stdout.isTTY === true && env.TERM !== "dumb" ? stdout : undefined;
    this.colors = picocolors.createColors(stdout.isTTY === true && !env.NO_COLOR && env.TERM !== "dumb");
  }

  /** Writes a line; resolves when there is room for more, so that a slow reader slows the command. */
  async line(text: string): Promise<void> {
    if (!this.#stdout.write(`${text}\n`)) await once(this.#stdout, "drain");
  }

  /** Writes rows under a heading, columns aligned. Cells are made printable. */
  async table(head: readonly string[], rows: readonly (readonly string[])[]): Promise<void> {
    const coloured = head.map((cell) => this.colors.dim(cell));
    const lines = formatTable(
      coloured,
      rows.map((row) => row.map(printable)),
    );
    for (const line of lines) await this.line(line);
  }

  /** Writes a message as one line of protobuf JSON; empty lists and default values are there. */
  json<D extends DescMessage>(schema: D, message: MessageShape<D>): Promise<void> {
    return this.line(JSON.stringify(toJson(schema, message, { alwaysEmitImplicit: true })));
  }
}
