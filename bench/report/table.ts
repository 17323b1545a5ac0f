import Table from "cli-table3";
import type { Row, Scenario } from "../support/scenario.js";

/** Formats the rows under the scenario's headings as a table. */
export function renderTable({ columns }: Pick<Scenario, "columns">, rows: readonly Row[]): string {
  const fields = Object.keys(columns);
  const isNumeric = (field: string) => rows.every((row) => typeof row[field] !== "string");
  const table = new Table({
    head: Object.values(columns),
    colAligns: fields.map((field) => (isNumeric(field) ? "right" : "left")),
    style: { head: [], border: [], compact: true },
  });
  for (const row of rows) table.push(fields.map((field) => formatCell(row[field])));
  return table.toString();
}

/** Formats a value for tables, with about three digits. */
export function formatCell(value: string | number | undefined): string {
  if (typeof value !== "number") return value ?? "–";
  const fractionDigits = Number.isInteger(value) ? 0 : Math.max(2 - Math.floor(Math.log10(Math.max(value, 1))), 0);
  return value.toLocaleString("en-US", {
    minimumFractionDigits: fractionDigits,
    maximumFractionDigits: fractionDigits,
  });
}
