import { type Client, createClient, type Interceptor } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-web";
import { ChannelService } from "../../../gen/squelch/v1/channel_service_pb.js";
import { PermissionService } from "../../../gen/squelch/v1/permission_service_pb.js";

const TOKEN_KEY = "squelch-token";
/** How long a call may take before the page gives it up, ms; the server bounds its own work at 2 s. */
const CALL_TIMEOUT_MS = 10_000;

/** Who this page is to the server: its clients, with the token that they send. */
export interface Session {
  readonly token: string | undefined;
  readonly permissions: Client<typeof PermissionService>;
  readonly channels: Client<typeof ChannelService>;
}

/** The token of this tab, as it was signed in with; it is forgotten when the tab closes. */
export function readToken(): string | undefined {
  return sessionStorage.getItem(TOKEN_KEY) ?? undefined;
}

/** Remembers the token for this tab; undefined forgets it. */
export function keepToken(token: string | undefined): void {
  if (token === undefined) sessionStorage.removeItem(TOKEN_KEY);
  else sessionStorage.setItem(TOKEN_KEY, token);
}

/** Clients of the server that this page came from, in binary protobuf. */
export function openSession(token: string | undefined): Session {
  const identify: Interceptor = (next) => (request) => {
    request.header.set("squelch-actor", "console");
    if (token !== undefined) request.header.set("authorization", `Bearer ${token}`);
    return next(request);
  };
  const transport = createConnectTransport({
    // Where the page is, which a proxy may have put below a path.
    baseUrl: new URL(".", location.href).href.replace(/\/$/, ""),
    useBinaryFormat: true,
    interceptors: [identify],
    defaultTimeoutMs: CALL_TIMEOUT_MS,
  });
  return {
    token,
    permissions: createClient(PermissionService, transport),
    channels: createClient(ChannelService, transport),
  };
}
