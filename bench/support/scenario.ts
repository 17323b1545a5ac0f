/** One line of a result. Units are in the names; undefined where there is nothing to measure. */
export type Row = Readonly<Record<string, string | number | undefined>>;

/** Rows as bars, one a row that has the value. */
export interface Plot {
  title: string;
  /** The field that is as long as the bar. */
  value: string;
  unit: string;
  /** Fields that tell one bar from another, beside the first column. */
  labels?: readonly string[];
  /** The rows that are meant, by the values of some fields; all if not given. */
  where?: Readonly<Record<string, string | number>>;
}

/** Something that is measured, and what it is measured beside, in one run. */
export interface Scenario<Options = object> {
  readonly name: string;
  /** What is compared, in a line. */
  readonly title: string;
  /** The headings of a row's fields, in their order. */
  readonly columns: Readonly<Record<string, string>>;
  /** The numbers of a real measurement. */
  readonly full: Options;
  /** Numbers that only show that it works, within a second or two. */
  readonly smoke: Options;
  /** For the report. */
  readonly plots?: readonly Plot[];
  /** Measures on servers of its own, which it stops. Rejects if anything was not done that should have been. */
  run(options: Options): Promise<Row[]>;
}

/** What a scenario has measured. */
export interface Result extends Omit<Scenario, "full" | "smoke" | "run"> {
  rows: readonly Row[];
}
