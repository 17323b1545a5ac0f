import type { LogPosition } from "../cursor.js";

/** The position of the last change that announces a write. A write that changed nothing has the position of an earlier one. */
export interface WriteOutcome extends LogPosition {
  /** True if a replica of the store has acknowledged the write. */
  replicated: boolean;
}
