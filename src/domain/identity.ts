import { SquelchError } from "./errors.js";
import { idProblem } from "./id.js";

/** What a caller may be allowed to do; `admin` includes all others. */
export const SCOPES = ["watch", "floor", "assign", "pause", "admin"] as const;
export type Scope = (typeof SCOPES)[number];

/** Who calls, and what they may do. */
export interface Identity {
  /** The author of the changes that they make. */
  readonly name: string;
  readonly scopes: ReadonlySet<Scope>;
  /** The events that they may see and change: ids, or beginnings of ids with a `*` at the end. Undefined: all. */
  readonly events: readonly string[] | undefined;
  /** When this is to be proven anew, ms since 1970; Infinity if never. */
  readonly expiresAtMs: number;
  /** False where nobody has to prove anything. */
  readonly isProven: boolean;
}

/** True if the identity has one of the scopes. */
export function hasScope({ scopes }: Identity, wanted: readonly Scope[]): boolean {
  return scopes.has("admin") || wanted.some((scope) => scopes.has(scope));
}

/** True if an event is among those that the identity is limited to, or it is not limited. */
export function mayAccess({ events }: Identity, eventId: string): boolean {
  return events === undefined || events.some((pattern) => matches(pattern, eventId));
}

function matches(pattern: string, eventId: string): boolean {
  return pattern.endsWith("*") ? eventId.startsWith(pattern.slice(0, -1)) : eventId === pattern;
}

/** The claims of a token that say who calls: `sub`, `scope` (words, or a list), `events` (a list; all if left out), `exp`. */
export interface IdentityClaims {
  sub?: unknown;
  scope?: unknown;
  events?: unknown;
  exp?: unknown;
}

/**
 * The identity that claims speak of. Scopes that Squelch does not know are passed over, since an issuer may have others.
 *
 * @throws SquelchError `unauthenticated` that names the claim
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
  return new SquelchError("unauthenticated", `token: its claim ${name} ${problem}`);
}
