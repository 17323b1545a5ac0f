import type { IncomingMessage, ServerResponse } from "node:http";
import { isIP } from "node:net";
import { cors } from "@connectrpc/connect";

/** How long a browser may remember what it was allowed, s. */
const PREFLIGHT_MAX_AGE_S = "7200";

/** From which pages and under which names calls may be made. */
export interface OriginRules {
  /** Origins of other pages that may call, for example `https://console.example`; `*` is any. */
  corsOrigins: readonly string[];
  /** True if only loopback names and addresses may be asked for. */
  onlyLoopbackNames: boolean;
}

/**
 * Looks at what a browser says of a call: pages of other origins are refused unless they are allowed. With
 * `onlyLoopbackNames` so are other names: a page whose own name is made to point here (DNS rebinding) has no other origin.
 *
 * @returns why the call is refused; `"answered"` if it was a browser's question, which is answered; undefined to go on
 */
export function admitOrigin(
  request: IncomingMessage,
  response: ServerResponse,
  { corsOrigins, onlyLoopbackNames }: OriginRules,
): string | undefined {
  const host = request.headers.host ?? (request.headers[":authority"] as string | undefined) ?? "";
  if (onlyLoopbackNames && !isLoopbackName(host)) {
    return `"${host}" is no name of this machine; ask for localhost, or serve with authentication`;
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
