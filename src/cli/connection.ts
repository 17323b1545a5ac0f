import { userInfo } from "node:os";
import { type Client, createClient, type Interceptor } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import type { Command } from "commander";
import { AuditService } from "../../gen/squelch/v1/audit_service_pb.js";
import { BanService } from "../../gen/squelch/v1/ban_service_pb.js";
import { ChannelService } from "../../gen/squelch/v1/channel_service_pb.js";
import { FleetService } from "../../gen/squelch/v1/fleet_service_pb.js";
import { PermissionService } from "../../gen/squelch/v1/permission_service_pb.js";
import { parseHostPort } from "../lib/hostPort.js";
import { encodePercent } from "../lib/percentText.js";
import type { CommandContext } from "./context.js";
import { CommandFailure, describeCallError } from "./failure.js";
import { formatDuration, parsePositiveDuration } from "./output/duration.js";
import { addSecurityOptions, readSecurity, type SecurityOptions } from "./security.js";
import { CommandSession } from "./session.js";

/** The default gRPC address of a replica. */
export const DEFAULT_ADDRESS = "127.0.0.1:50051";
const DEFAULT_TIMEOUT_MS = 5_000;

/** The options of every command that calls a replica. */
export interface ConnectionOptions extends SecurityOptions {
  address?: string;
  timeout: number;
  json: boolean;
}

/** Adds `--address`, `--timeout`, `--json` and the options for tokens and TLS to a command. */
export function addConnectionOptions(command: Command, defaultTimeoutMs = DEFAULT_TIMEOUT_MS): Command {
  return addSecurityOptions(command)
    .option("--address <host:port>", `the replica to call (or SQUELCH_ADDRESS; default ${DEFAULT_ADDRESS})`)
    .option(
      "--timeout <time>",
      `how long to wait for an answer (default ${formatDuration(defaultTimeoutMs)})`,
      parsePositiveDuration,
      defaultTimeoutMs,
    )
    .option("--json", "print protobuf JSON, one line for each message", false);
}

/** A connection to a replica. */
export interface Connection {
  readonly address: string;
  readonly timeoutMs: number;
  /** The timeout of a call is `timeoutMs` unless the call sets another one. */
  readonly permissions: Client<typeof PermissionService>;
  readonly channels: Client<typeof ChannelService>;
  readonly bans: Client<typeof BanService>;
  readonly fleet: Client<typeof FleetService>;
  readonly audit: Client<typeof AuditService>;
}

/**
 * Calls `use` with a connection and closes it afterwards.
 *
 * @throws CommandFailure with cause and remedy if a call fails. Other errors of `use` pass through unchanged
 */
export async function withConnection<T>(
  context: CommandContext,
  options: Omit<ConnectionOptions, "json">,
  use: (connection: Connection) => Promise<T>,
): Promise<T> {
  const address = options.address ?? (context.env.SQUELCH_ADDRESS || DEFAULT_ADDRESS);
  const timeoutMs = options.timeout;
  const { token, tls } = readSecurity(context, options);
  const baseUrl = `${tls === undefined ? "http" : "https"}://${parseAddress(address)}`;
  const session = new CommandSession(baseUrl, tls);
  const transport = createGrpcTransport({
    baseUrl,
    sessionManager: session,
    defaultTimeoutMs: timeoutMs,
    interceptors: [nameCaller(token)],
  });
  try {
    return await use({
      address,
      timeoutMs,
      permissions: createClient(PermissionService, transport),
      channels: createClient(ChannelService, transport),
      bans: createClient(BanService, transport),
      fleet: createClient(FleetService, transport),
      audit: createClient(AuditService, transport),
    });
  } catch (error) {
    throw describeCallError(error, { address, timeoutMs });
  } finally {
    session.close();
  }
}

function parseAddress(address: string): string {
  if (!parseHostPort(address)?.port) {
    throw new CommandFailure(`"${address}" is not a valid address; write host:port, for example ${DEFAULT_ADDRESS}`, 2);
  }
  return address;
}

// The actor of changes: the name of the user of this system, percent-encoded for a header.
function actor(): string {
  let name: string;
  try {
    name = userInfo().username;
  } catch {
    // In many containers the user id has no entry in the password file.
    name = String(process.getuid?.() ?? "unknown");
  }
  return encodePercent(`cli:${name.replace(/[{}\p{Cc}]/gu, "_")}`);
}

// A replica uses the actor only if it requires no token or certificate.
const nameCaller =
  (token: (() => string) | undefined): Interceptor =>
  (next) =>
  (request) => {
    request.header.set("squelch-actor", actor());
    if (token !== undefined) request.header.set("authorization", `Bearer ${token()}`);
    return next(request);
  };
