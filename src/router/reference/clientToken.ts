import type { IncomingMessage } from "node:http";
import { jwtVerify } from "jose";
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

/**
 * Verifies a token and returns the identity of the client. Only HS256 is accepted.
 *
 * @throws TokenError if the signature is wrong, the token has expired, or an id is missing or not valid
 */
export async function verifyClientToken(token: string, secret: Uint8Array): Promise<ClientIdentity> {
  let claims: Record<string, unknown>;
  try {
    claims = (await jwtVerify(token, secret, { algorithms: ["HS256"] })).payload;
  } catch (error) {
    throw new TokenError("Invalid or expired token", { cause: error });
  }
  const userId = readId(claims, "userId");
  const userName = toUserName(claims.userName, userId);
  const role = String(claims.eventRole ?? claims.role ?? "USER");
  const channelIds = Array.isArray(claims.channelIds) ? claims.channelIds.map(toId).filter(isId) : [];
  const globalRole = String(claims.globalRole ?? "NONE");
  return { userId, userName, eventId: readId(claims, "eventId"), role, globalRole, channelIds };
}

/** True if the user may broadcast to the whole event and disconnect users. */
export function isDispatcher({ role, globalRole }: ClientIdentity): boolean {
  return role === "DISPATCH" || role === "ADMIN" || globalRole === "ADMIN";
}

// Tokens may have numbers as ids.
function toId(value: unknown): unknown {
  return typeof value === "number" ? String(value) : value;
}

function isId(value: unknown): value is string {
  return typeof value === "string" && idProblem(value) === undefined;
}

function readId(claims: Record<string, unknown>, name: string): string {
  const id = toId(claims[name]);
  const problem = typeof id === "string" ? idProblem(id) : "is missing";
  if (problem !== undefined) throw new TokenError(`Invalid token: ${name} ${problem}`);
  return id as string;
}
