import { refusal, type SquelchError } from "../../../domain/errors.js";

/** How often a step is tried that others have got in the way of. */
export const MAX_ATTEMPTS = 20;

/** What is said when all attempts were in vain. */
export function contended(what: string): SquelchError {
  return refusal("CONTENTION", `${what} is being changed by too many at once; try again`, {});
}
