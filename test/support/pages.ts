import { readFileSync } from "node:fs";

/** Reads a file of the repository, by its path from the root. */
export const read = (path: string) => readFileSync(path, "utf8");

export const withoutCode = (text: string) => text.replace(/^```.*?^```$/gms, "");

/** Returns a cell of a table without its backticks. */
export const unquote = (cell: string) => cell.replaceAll("`", "");

/** Returns the rows of the tables under a heading, up to the next heading, without the head rows. Cells are unchanged. */
export function rowsUnder(page: string, heading: string): string[][] {
  const [, section] = withoutCode(read(page)).split(`\n${heading}\n`);
  if (section === undefined) throw new Error(`${page} has no "${heading}"`);
  const [text = ""] = section.split(/^#/m);
  const lines = text.split("\n");
  const isRule = (line = "") => /^\|[-| ]+$/.test(line);
  return lines
    .filter((line, index) => line.startsWith("|") && !isRule(line) && !isRule(lines[index + 1]))
    .map((line) => line.split("|").slice(1, -1))
    .map((cells) => cells.map((cell) => cell.trim()));
}
