import { refusal, type SquelchError } from "./errors.js";
import { idProblem } from "./id.js";

/** The rights that a caller can have. `admin` includes all others. */
export const SCOPES = ["watch", "floor", "assign", "pause", "admin"] as const;
export type Scope = (typeof SCOPES)[number];

/** A caller and the caller's rights. */
export interface Identity {
  /** The actor of the changes that the caller makes. */
  readonly name: string;
  readonly scopes: ReadonlySet<Scope>;
  /** The events that the caller may see and change: ids, or prefixes of ids followed by `*`. Undefined: all events. */
  readonly events: readonly string[] | undefined;
  /** When the caller must authenticate again, ms since 1970; Infinity if never. */
  readonly expiresAtMs: number;
  /** True if the caller has authenticated; false on a server without authentication. */
  readonly isProven: boolean;
}

/** True if the identity has one of the scopes. */
export function hasScope({ scopes }: Identity, wanted: readonly Scope[]): boolean {
  return scopes.has("admin") || wanted.some((scope) => scopes.has(scope));
}

/** True if the identity may access the event. */
export function mayAccess({ events }: Identity, eventId: string): boolean {
  return events === undefined || events.some((pattern) => matches(pattern, eventId));
}

function matches(pattern: string, eventId: string): boolean {
  return pattern.endsWith("*") ? eventId.startsWith(pattern.slice(0, -1)) : eventId === pattern;
}

/** The claims of a token: `sub`, `scope` (words in a string, or a list), `events` (a list; all if left out), `exp`. */
export interface IdentityClaims {
  sub?: unknown;
  scope?: unknown;
  events?: unknown;
  exp?: unknown;
}

/**
 * Returns the identity that the claims describe. Unknown scopes are ignored, since a token may serve other programs too.
 *
 * @throws SquelchError `unauthenticated` with the name of the invalid claim
 */
export function parseIdentity({ sub, scope, events, exp }: IdentityClaims): Identity {
  const problem = typeof sub === "string" ? idProblem(sub) : "must be given";
  if (problem !== undefined) throw badClaim("sub", problem);
  if (typeof exp !== "number") throw badClaim("exp", "must be given");
  if (scope !== undefined && typeof scope !== "string" && !isTexts(scope)) throw badClaim("scope", "must be words");
  if (events !== undefined && !isTexts(events)) throw badClaim("events", "must be a list of event ids");
  const words = typeof scope === "string" ? scope.split(" ") : (scope ?? []);
  return {
    name: sub as string,
    scopes: new Set(SCOPES.filter((known) => words.includes(known))),
    events,
    expiresAtMs: exp * 1_000,
    isProven: true,
  };
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((each) => typeof each === "string");
}

function badClaim(name: string, problem: string): SquelchError {
  return refusal("TOKEN_INVALID", `token: its claim ${name} ${problem}`, { claim: name });
}
