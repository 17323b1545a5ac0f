import { invalidField } from "./errors.js";

/** The longest id, in bytes of UTF-8. */
export const MAX_ID_BYTES = 128;

// Braces delimit the hash tag of a Redis Cluster key; control characters and lone surrogates are not printable.
const forbidden = /[{}\p{Cc}\p{Cs}\p{Zl}\p{Zp}]/u;

/** Returns what makes `value` an invalid id, or undefined if it is valid. */
export function idProblem(value: string): string | undefined {
  if (value === "") return "must not be empty";
  if (Buffer.byteLength(value) > MAX_ID_BYTES) return `must have at most ${MAX_ID_BYTES} bytes of UTF-8`;
  if (forbidden.test(value)) return "must be printable and without { and }";
  return undefined;
}

/**
 * Returns `value` if it is a valid id: 1 to 128 bytes of printable UTF-8 without `{`, `}` and control characters.
 *
 * @throws SquelchError `invalidArgument`, naming `field`.
 */
export function parseId(field: string, value: string): string {
  const problem = idProblem(value);
  if (problem !== undefined) throw invalidField(field, problem);
  return value;
}
