import { InvalidArgumentError } from "commander";

/**
 * Parses a whole number from 1 to 9,999,999.
 *
 * @throws InvalidArgumentError of commander, which prints it with the name of the option
 */
export function parseCount(text: string): number {
  const count = /^\d{1,7}$/.test(text) ? Number(text) : 0;
  if (count < 1) throw new InvalidArgumentError("It must be a whole number above 0.");
  return count;
}
