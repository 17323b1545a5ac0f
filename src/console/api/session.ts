import { type Client, createClient, type Interceptor } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-web";
import { AuditService } from "../../../gen/squelch/v1/audit_service_pb.js";
import { BanService } from "../../../gen/squelch/v1/ban_service_pb.js";
import { ChannelService } from "../../../gen/squelch/v1/channel_service_pb.js";
import { FleetService } from "../../../gen/squelch/v1/fleet_service_pb.js";
import { PermissionService } from "../../../gen/squelch/v1/permission_service_pb.js";

const TOKEN_KEY = "squelch-token";
/** The timeout of a call, ms. The server limits its own work to 2 s. */
const CALL_TIMEOUT_MS = 10_000;

/** The clients of the server and the token that they send. */
export interface Session {
  readonly token: string | undefined;
  readonly permissions: Client<typeof PermissionService>;
  readonly channels: Client<typeof ChannelService>;
  readonly bans: Client<typeof BanService>;
  readonly fleet: Client<typeof FleetService>;
  readonly audit: Client<typeof AuditService>;
  /** The server's clock minus the browser's clock, ms, from the newest answer. It is exact to half a second. */
  clockOffsetMs: number;
}

/** Returns the token of this tab. The browser deletes it when the tab closes. */
export function readToken(): string | undefined {
  return sessionStorage.getItem(TOKEN_KEY) ?? undefined;
}

/** Stores the token for this tab. Undefined deletes it. */
export function keepToken(token: string | undefined): void {
  if (token === undefined) sessionStorage.removeItem(TOKEN_KEY);
  else sessionStorage.setItem(TOKEN_KEY, token);
}

/** Creates clients of the server that this page came from. They use binary protobuf. */
export function openSession(token: string | undefined): Session {
  const session = { clockOffsetMs: 0 };
  const identify: Interceptor = (next) => async (request) => {
    request.header.set("squelch-actor", "console");
    if (token !== undefined) request.header.set("authorization", `Bearer ${token}`);
    const response = await next(request);
    // The header has whole seconds. On average it is half a second old.
    const serverMs = Date.parse(response.header.get("date") ?? "") + 500;
    if (!Number.isNaN(serverMs)) session.clockOffsetMs = serverMs - Date.now();
    return response;
  };
  const transport = createConnectTransport({
    // The address of the page. A proxy may have added a path.
    baseUrl: new URL(".", location.href).href.replace(/\/$/, ""),
    useBinaryFormat: true,
    interceptors: [identify],
    defaultTimeoutMs: CALL_TIMEOUT_MS,
  });
  return Object.assign(session, {
    token,
    permissions: createClient(PermissionService, transport),
    channels: createClient(ChannelService, transport),
    bans: createClient(BanService, transport),
    fleet: createClient(FleetService, transport),
    audit: createClient(AuditService, transport),
  });
}
