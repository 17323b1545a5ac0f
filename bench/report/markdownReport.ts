import { mkdir, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { Plot, Result, Row } from "../support/scenario.js";
import { drawBars } from "./barPlot.js";
import { describeEnvironment, type Environment } from "./environment.js";
import { formatCell } from "./table.js";

/** Writes the results as Markdown, and the plots as SVG into a folder of the same name. Overwrites both. */
export async function writeReport(file: string, environment: Environment, results: readonly Result[]): Promise<void> {
  const folder = basename(file, ".md");
  await mkdir(join(dirname(file), folder), { recursive: true });
  const sections: string[] = [];
  for (const result of results) {
    const images: string[] = [];
    for (const [index, plot] of (result.plots ?? []).entries()) {
      const name = `${result.name}-${index + 1}.svg`;
      await writeFile(join(dirname(file), folder, name), drawBars(plot.title, plot.unit, toBars(plot, result)));
      images.push(`![${plot.title}](${folder}/${name})`);
    }
    sections.push([`## ${result.name}`, `${result.title}.`, ...images, toTable(result)].join("\n\n"));
  }
  const introduction = `# Performance

This page is written by \`npm run bench -- --report ${file}\`. The code of each measurement is in \`bench/scenarios\`. Compare
figures of one run only: figures of different machines or runs are not comparable. The lean readers that receive from Squelch
also receive from its peers, in a process of their own. CPU is the time that the operating system counts for the server
processes. For Squelch, these are the replica and its Redis. Each run checks that every message arrived exactly once, in one
order, and with the content that was published.

${describeEnvironment(environment)}.`;
  await writeFile(file, `${[introduction, ...sections].join("\n\n")}\n`);
}

function toBars({ value, labels = [], where = {} }: Plot, { columns, rows }: Result) {
  const [name = ""] = Object.keys(columns);
  const isMeant = (row: Row) => Object.entries(where).every(([field, wanted]) => row[field] === wanted);
  return rows.filter(isMeant).flatMap((row) => {
    const length = row[value];
    const label = [name, ...labels].map((field) => formatCell(row[field])).join(", ");
    return typeof length === "number" ? [{ label, value: length }] : [];
  });
}

function toTable({ columns, rows }: Result): string {
  const fields = Object.keys(columns);
  const isNumeric = (field: string) => rows.every((row) => typeof row[field] !== "string");
  const lines = [
    Object.values(columns).map((heading) => heading.replaceAll("\n", " ")),
    fields.map((field) => (isNumeric(field) ? "--:" : "---")),
    ...rows.map((row) => fields.map((field) => formatCell(row[field]))),
  ];
  return lines.map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}
