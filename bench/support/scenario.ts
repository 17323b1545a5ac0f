/** One line of a result. Units are in the names; undefined where there is nothing to measure. */
export type Row = Readonly<Record<string, string | number | undefined>>;

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
  /** Measures on servers of its own, which it stops. Rejects if anything was not done that should have been. */
  run(options: Options): Promise<Row[]>;
}
