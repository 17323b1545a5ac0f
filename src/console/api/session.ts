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
  /** The server's clock minus the browser's, ms, as the newest answer had it: to half a second. */
  clockOffsetMs: number;
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
  const session = { clockOffsetMs: 0 };
  const identify: Interceptor = (next) => async (request) => {
    request.header.set("squelch-actor", "console");
    if (token !== undefined) request.header.set("authorization", `Bearer ${token}`);
    const response = await next(request);
    // In whole seconds, on the average half a second ago.
    const serverMs = Date.parse(response.header.get("date") ?? "") + 500;
    if (!Number.isNaN(serverMs)) session.clockOffsetMs = serverMs - Date.now();
    return response;
  };
  const transport = createConnectTransport({
    // Where the page is, which a proxy may have put below a path.
    baseUrl: new URL(".", location.href).href.replace(/\/$/, ""),
    useBinaryFormat: true,
    interceptors: [identify],
    defaultTimeoutMs: CALL_TIMEOUT_MS,
  });
  return Object.assign(session, {
    token,
    permissions: createClient(PermissionService, transport),
    channels: createClient(ChannelService, transport),
  });
}
