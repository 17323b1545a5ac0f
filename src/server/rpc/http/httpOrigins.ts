import type { IncomingMessage, ServerResponse } from "node:http";
import { isIP } from "node:net";
import { cors } from "@connectrpc/connect";

/** How long a browser may remember the answer to a preflight request, s. */
const PREFLIGHT_MAX_AGE_S = "7200";
/** Error messages repeat no more than this of a host name; the longest name in DNS has 253 bytes. */
const MAX_NAME_LENGTH = 253;

/** The pages from which browsers may make calls, and the host names that they may use. */
export interface OriginRules {
  /** Origins of other pages that may call, for example `https://console.example`; `*` allows all origins. */
  corsOrigins: readonly string[];
  /** True if the host name of a request must be localhost or an IP address. */
  onlyLoopbackNames: boolean;
}

/**
 * Checks the origin and the host name of a call (see {@link refuseHost}). A page of another origin is refused unless it is
 * allowed.
 *
 * @returns why the call is refused; `"answered"` if it was a preflight request, which has been answered; undefined if the call
 *   may continue
 */
export function admitOrigin(
  request: IncomingMessage,
  response: ServerResponse,
  rules: OriginRules,
): string | undefined {
  const { corsOrigins } = rules;
  const { origin } = request.headers;
  const refusal = refuseHost(request, rules);
  if (refusal !== undefined || origin === undefined) return refusal;
  const isAllowed = corsOrigins.includes(origin) || corsOrigins.includes("*");
  if (isAllowed) {
    response.setHeader("access-control-allow-origin", origin);
    response.setHeader("access-control-expose-headers", cors.exposedHeaders.join(", "));
    response.setHeader("vary", "origin");
  } else if (hostOf(origin) !== askedHost(request))
    return `pages of ${origin} may not call; allow them with --cors-origins`;
  if (request.method !== "OPTIONS") return undefined;
  response.writeHead(204, {
    "access-control-allow-methods": cors.allowedMethods.join(", "),
    "access-control-allow-headers": [...cors.allowedHeaders, "authorization"].join(", "),
    "access-control-max-age": PREFLIGHT_MAX_AGE_S,
  });
  response.end();
  return "answered";
}

/**
 * Checks the host name of a request for a call or a page. With `onlyLoopbackNames`, names other than localhost and IP addresses
 * are refused: a hostile page can make its own name resolve to this machine (DNS rebinding), and then it has the same origin.
 *
 * @returns why the request is refused; undefined if it may continue
 */
export function refuseHost(request: IncomingMessage, { onlyLoopbackNames }: OriginRules): string | undefined {
  const host = askedHost(request);
  if (!onlyLoopbackNames || isLoopbackName(host)) return undefined;
  return `"${host.slice(0, MAX_NAME_LENGTH)}" is not a name of this machine; use localhost, or serve with authentication`;
}

function askedHost({ headers }: IncomingMessage): string {
  return headers.host ?? (headers[":authority"] as string | undefined) ?? "";
}

function hostOf(origin: string): string | undefined {
  return URL.canParse(origin) ? new URL(origin).host : undefined;
}

function isLoopbackName(host: string): boolean {
  const name = host.replace(/:\d+$/, "").replace(/^\[(.*)\]$/, "$1");
  return name === "localhost" || isIP(name) !== 0;
}
