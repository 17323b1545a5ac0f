import type { IncomingMessage, ServerResponse } from "node:http";
import { isIP } from "node:net";
import { cors } from "@connectrpc/connect";

/** How long a browser may remember the answer to a preflight request, s. */
const PREFLIGHT_MAX_AGE_S = "7200";

/** From which pages, and under which host names, browsers may make calls. */
export interface OriginRules {
  /** Origins of other pages that may call, for example `https://console.example`; `*` allows all origins. */
  corsOrigins: readonly string[];
  /** True if the host name of a request must be localhost or an IP address. */
  onlyLoopbackNames: boolean;
}

/**
 * Checks the origin and the host name of a call. A page of another origin is refused unless it is allowed. With
 * `onlyLoopbackNames` other host names are refused, too: a hostile page can make its own name resolve to this machine (DNS
 * rebinding), and then it has the same origin.
 *
 * @returns why the call is refused; `"answered"` if it was a preflight request, which has been answered; undefined if the call
 *   may go on
 */
export function admitOrigin(
  request: IncomingMessage,
  response: ServerResponse,
  { corsOrigins, onlyLoopbackNames }: OriginRules,
): string | undefined {
  const host = request.headers.host ?? (request.headers[":authority"] as string | undefined) ?? "";
  if (onlyLoopbackNames && !isLoopbackName(host)) {
    return `"${host}" is not a name of this machine; ask for localhost, or serve with authentication`;
  }
  const { origin } = request.headers;
  if (origin === undefined) return undefined;
  const isAllowed = corsOrigins.includes(origin) || corsOrigins.includes("*");
  if (isAllowed) {
    response.setHeader("access-control-allow-origin", origin);
    response.setHeader("access-control-expose-headers", cors.exposedHeaders.join(", "));
    response.setHeader("vary", "origin");
  } else if (hostOf(origin) !== host) return `pages of ${origin} may not call; allow them with --cors-origins`;
  if (request.method !== "OPTIONS") return undefined;
  response.writeHead(204, {
    "access-control-allow-methods": cors.allowedMethods.join(", "),
    "access-control-allow-headers": [...cors.allowedHeaders, "authorization"].join(", "),
    "access-control-max-age": PREFLIGHT_MAX_AGE_S,
  });
  response.end();
  return "answered";
}

function hostOf(origin: string): string | undefined {
  return URL.canParse(origin) ? new URL(origin).host : undefined;
}

function isLoopbackName(host: string): boolean {
  const name = host.replace(/:\d+$/, "").replace(/^\[(.*)\]$/, "$1");
  return name === "localhost" || isIP(name) !== 0;
}
