import { nearTexts } from "../lib/nearTexts.js";
import { SquelchError } from "./errors.js";

/** The longest time that a timer of Node.js can wait, ms. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** The rule for the value of one option. */
export interface OptionRule {
  /** Completes the sentence "must be …". */
  expected: string;
  isValid: (value: unknown) => boolean;
  /** True if the option has no default. */
  isRequired?: boolean;
}

/** A rule for each option that a function takes. */
export type OptionRules<Options> = { readonly [Name in keyof Required<Options>]: OptionRule };

const isText = (value: unknown) => typeof value === "string";
const isFunction = (value: unknown) => typeof value === "function";
const isObject = (value: unknown) => typeof value === "object" && value !== null;

export const TEXT: OptionRule = { expected: "a string", isValid: isText };
export const TEXTS: OptionRule = {
  expected: "an array of strings",
  isValid: (value) => Array.isArray(value) && value.every(isText),
};
export const TEXT_OR_FUNCTION: OptionRule = {
  expected: "a string, or a function that returns one",
  isValid: (value) => isText(value) || isFunction(value),
};
export const BOOLEAN: OptionRule = { expected: "true or false", isValid: (value) => typeof value === "boolean" };
export const FUNCTION: OptionRule = { expected: "a function", isValid: isFunction };
export const OBJECT: OptionRule = { expected: "an object", isValid: isObject };
export const LOGGER: OptionRule = {
  expected: "a pino logger",
  isValid: (value) => isObject(value) && isFunction((value as { child?: unknown }).child),
};
export const DURATION_MS = durationRule(1);
export const DURATION_MS_OR_0 = durationRule(0);

function durationRule(minMs: number): OptionRule {
  return {
    expected: `a number of milliseconds from ${minMs} to ${MAX_TIMER_MS}`,
    isValid: (value) => typeof value === "number" && value >= minMs && value <= MAX_TIMER_MS,
  };
}

/** A rule for an option that takes one of a few words. */
export function oneOf(...words: readonly string[]): OptionRule {
  return {
    expected: words.map((word) => `"${word}"`).join(" or "),
    isValid: (value) => words.includes(value as string),
  };
}

/** A rule for an option without a default. */
export function required(rule: OptionRule): OptionRule {
  return { ...rule, isRequired: true };
}

/**
 * Checks the options of a public function, for callers that the compiler does not check. An option that is undefined
 * counts as not given. Messages never quote a value, because it may be secret.
 *
 * @param taker the function or class that takes the options, named in the message
 * @throws SquelchError `invalidArgument` that names the option, if one is missing, unknown or of a wrong type
 */
export function checkOptions<Options>(taker: string, options: unknown, rules: OptionRules<Options>): void {
  if (!isObject(options)) throw new SquelchError("invalidArgument", `options: ${taker} needs an object of options`);
  const given = options as Record<string, unknown>;
  for (const name of Object.keys(given)) {
    if (Object.hasOwn(rules, name)) continue;
    throw new SquelchError(
      "invalidArgument",
      `${name}: ${taker} has no such option; ${suggest(name, Object.keys(rules))}`,
    );
  }
  for (const [name, rule] of Object.entries<OptionRule>(rules)) {
    const value = given[name];
    if (value === undefined && rule.isRequired === true) {
      throw new SquelchError("invalidArgument", `${name}: ${taker} needs this option; it must be ${rule.expected}`);
    }
    if (value === undefined || rule.isValid(value)) continue;
    throw new SquelchError("invalidArgument", `${name}: this option of ${taker} must be ${rule.expected}`);
  }
}

function suggest(name: string, known: readonly string[]): string {
  const [nearest] = nearTexts(name, known, 1);
  if (nearest !== undefined) return `did you mean ${nearest}?`;
  return `it has ${known.join(", ")}`;
}
