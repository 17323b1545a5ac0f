import type { IncomingMessage } from "node:http";
import { jwtVerify } from "jose";
import { idProblem } from "../../domain/id.js";

/** The subprotocol that the server answers where a client offers it. */
export const SUBPROTOCOL = "voiceping";

/** Who a client is, as its token says. */
export interface ClientIdentity {
  userId: string;
  userName: string;
  eventId: string;
  /** ADMIN, DISPATCH or USER. */
  role: string;
  /** ADMIN or NONE. */
  globalRole: string;
  /** What the user may join if the store has never heard of them; what is no id in the token is left out. */
  channelIds: string[];
}

/** A token that cannot be accepted. The message says why, and may be shown to the client. */
export class TokenError extends Error {
  override readonly name = "TokenError";
}

/**
 * The token of a client that connects: from `Authorization: Bearer`, else `?token=`, else the first subprotocol that is
 * not `voiceping`, without a `token-` prefix. Undefined if there is none.
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
 * Verifies a token (HS256 alone; not expired) and reads who the client is.
 *
 * @throws TokenError
 */
export async function verifyClientToken(token: string, secret: Uint8Array): Promise<ClientIdentity> {
  let claims: Record<string, unknown>;
  try {
    claims = (await jwtVerify(token, secret, { algorithms: ["HS256"] })).payload;
  } catch (error) {
    throw new TokenError("Invalid or expired token", { cause: error });
  }
  const userId = readId(claims, "userId");
  const userName = claims.userName === undefined ? userId : String(claims.userName);
  const role = String(claims.eventRole ?? claims.role ?? "USER");
  const channelIds = Array.isArray(claims.channelIds) ? claims.channelIds.map(toId).filter(isId) : [];
  const globalRole = String(claims.globalRole ?? "NONE");
  return { userId, userName, eventId: readId(claims, "eventId"), role, globalRole, channelIds };
}

/** True for those who may broadcast to the whole event. */
export function isDispatcher({ role, globalRole }: ClientIdentity): boolean {
  return role === "DISPATCH" || role === "ADMIN" || globalRole === "ADMIN";
}

// Ids may be numbers.
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
