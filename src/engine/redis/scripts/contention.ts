import { refusal, type SquelchError } from "../../../domain/errors.js";

/** The number of attempts at a step that concurrent changes can interrupt. */
export const MAX_ATTEMPTS = 20;

/** Creates the error for a step whose attempts all failed. */
export function contended(what: string): SquelchError {
  return refusal("CONTENTION", `${what} is being changed by too many calls at once; try again`, {});
}
