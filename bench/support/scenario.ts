/** One line of a result. Names contain the units; a value is undefined if it was not measured. */
export type Row = Readonly<Record<string, string | number | undefined>>;

/** A plot of rows as bars, with one bar for each row that has the value. */
export interface Plot {
  title: string;
  /** The field that determines the length of a bar. */
  value: string;
  unit: string;
  /** Fields that distinguish the bars, in addition to the first column. */
  labels?: readonly string[];
  /** Selects rows by the values of some fields; all rows if not given. */
  where?: Readonly<Record<string, string | number>>;
}

/** A measurement and its comparisons, which run together. */
export interface Scenario<Options = object> {
  readonly name: string;
  /** A line that names the comparison. */
  readonly title: string;
  /** The headings of a row's fields, in their order. */
  readonly columns: Readonly<Record<string, string>>;
  /** The sizes of a real measurement. */
  readonly full: Options;
  /** Sizes that only show that the scenario works, within a second or two. */
  readonly smoke: Options;
  /** The plots of the report. */
  readonly plots?: readonly Plot[];
  /** Measures on servers that it starts and stops. Rejects if anything was not done completely. */
  run(options: Options): Promise<Row[]>;
}

/** The results of a scenario. */
export interface Result extends Omit<Scenario, "full" | "smoke" | "run"> {
  rows: readonly Row[];
}
