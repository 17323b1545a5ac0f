import type { IncomingMessage } from "node:http";
import { errors, type JWTPayload, jwtVerify } from "jose";
import { idProblem } from "../../domain/id.js";
import { toUserName } from "./userName.js";

/** The subprotocol that the router selects if a client offers it. */
export const SUBPROTOCOL = "voiceping";

/** The identity of a client, from its token. */
export interface ClientIdentity {
  userId: string;
  userName: string;
  eventId: string;
  /** ADMIN, DISPATCH or USER. */
  role: string;
  /** ADMIN or NONE. */
  globalRole: string;
  /** The channels for a user who is unknown to the store. Entries of the token that are not valid ids are left out. */
  channelIds: string[];
}

/** A token was rejected. The client may see the message, which has the reason. */
export class TokenError extends Error {
  override readonly name = "TokenError";
}

/**
 * Returns the token of a client that connects, or undefined if it sent none. Three places are read in this order: the
 * header `Authorization: Bearer`, the query parameter `token`, and the first subprotocol other than `voiceping` (without
 * its prefix `token-`).
 */
export function readClientToken(request: IncomingMessage): string | undefined {
  const bearer = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? "")?.[1];
  if (bearer !== undefined) return bearer;
  const query = new URLSearchParams(request.url?.split("?", 2)[1] ?? "").get("token");
  if (query) return query;
  const offered = (request.headers["sec-websocket-protocol"] ?? "").split(",").map((protocol) => protocol.trim());
  return offered.find((protocol) => protocol !== "" && protocol !== SUBPROTOCOL)?.replace(/^token-/, "");
}

/** How far the clocks of the control plane and of this router may differ, s. The replicas tolerate as much. */
const CLOCK_TOLERANCE_S = 5;

/** How a router verifies the tokens of its clients. */
export interface TokenRules {
  /** A token is valid if one of these secrets has signed it. */
  readonly secrets: readonly Uint8Array[];
  /** How far ahead the end of a token may lie, ms. */
  readonly horizonMs: number;
}

/** A token that was verified. */
export interface ClientToken {
  identity: ClientIdentity;
  /** The time until which the client may stay connected, ms since 1970. */
  endsAtMs: number;
}

/**
 * Verifies a token and returns the identity of the client. Only HS256 is accepted.
 *
 * @throws TokenError if the signature is wrong, the token has expired, `exp` is missing or too far ahead, or an id is
 * missing or not valid
 */
export async function verifyClientToken(token: string, rules: TokenRules): Promise<ClientToken> {
  const claims = await readClaims(token, rules.secrets);
  const endsAtMs = readEnd(claims.exp, rules.horizonMs);
  const userId = readId(claims, "userId");
  const userName = toUserName(claims.userName, userId);
  const role = String(claims.eventRole ?? claims.role ?? "USER");
  const channelIds = Array.isArray(claims.channelIds) ? claims.channelIds.map(toId).filter(isId) : [];
  const globalRole = String(claims.globalRole ?? "NONE");
  return { identity: { userId, userName, eventId: readId(claims, "eventId"), role, globalRole, channelIds }, endsAtMs };
}

async function readClaims(token: string, secrets: readonly Uint8Array[]): Promise<JWTPayload> {
  let cause: unknown;
  for (const secret of secrets) {
    try {
      const terms = { algorithms: ["HS256"], requiredClaims: ["exp"], clockTolerance: CLOCK_TOLERANCE_S };
      return (await jwtVerify(token, secret, terms)).payload;
    } catch (error) {
      if (error instanceof errors.JWTClaimValidationFailed && error.reason === "missing") {
        throw new TokenError("Invalid token: exp is missing", { cause: error });
      }
      cause = error;
    }
  }
  throw new TokenError("Invalid or expired token", { cause });
}

function readEnd(exp: number | undefined, horizonMs: number): number {
  const [nowMs, expMs] = [Date.now(), Number(exp) * 1_000];
  if (!(expMs <= nowMs + horizonMs + CLOCK_TOLERANCE_S * 1_000)) {
    throw new TokenError("Invalid token: exp is too far ahead");
  }
  // A token that is accepted after its end only thanks to the tolerance lasts until the tolerance is used up.
  return expMs > nowMs ? expMs : expMs + CLOCK_TOLERANCE_S * 1_000;
}

/** True if the user may broadcast to the whole event and disconnect users. */
export function isDispatcher({ role, globalRole }: ClientIdentity): boolean {
  return role === "DISPATCH" || role === "ADMIN" || globalRole === "ADMIN";
}

// Tokens may have numbers as ids. JSON rounds a number beyond 2^53 to the id of another user, so it is not an id.
function toId(value: unknown): unknown {
  return Number.isSafeInteger(value) ? String(value) : value;
}

function isId(value: unknown): value is string {
  return typeof value === "string" && idProblem(value) === undefined;
}

function readId(claims: Record<string, unknown>, name: string): string {
  const id = toId(claims[name]);
  if (typeof id === "number")
    throw new TokenError(`Invalid token: ${name} must be a whole number up to 2^53, or a string`);
  const problem = typeof id === "string" ? idProblem(id) : "is missing";
  if (problem !== undefined) throw new TokenError(`Invalid token: ${name} ${problem}`);
  return id as string;
}
