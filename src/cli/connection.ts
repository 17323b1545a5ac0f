import { userInfo } from "node:os";
import { type Client, createClient, type Interceptor } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import type { Command } from "commander";
import { ChannelService } from "../../gen/squelch/v1/channel_service_pb.js";
import { PermissionService } from "../../gen/squelch/v1/permission_service_pb.js";
import { parseHostPort } from "../lib/hostPort.js";
import type { CommandContext } from "./context.js";
import { CommandFailure, describeCallError } from "./failure.js";
import { formatDuration, parsePositiveDuration } from "./output/duration.js";
import { addSecurityOptions, readSecurity, type SecurityOptions } from "./security.js";
import { CommandSession } from "./session.js";

/** Where a replica listens if nobody says otherwise. */
export const DEFAULT_ADDRESS = "127.0.0.1:50051";
const DEFAULT_TIMEOUT_MS = 5_000;

/** The options of every command that calls a replica. */
export interface ConnectionOptions extends SecurityOptions {
  address?: string;
  timeout: number;
  json: boolean;
}

/** Gives a command `--address`, `--timeout` and `--json`, and the options of tokens and TLS. */
export function addConnectionOptions(command: Command, defaultTimeoutMs = DEFAULT_TIMEOUT_MS): Command {
  return addSecurityOptions(command)
    .option("--address <host:port>", `the replica to ask (or SQUELCH_ADDRESS; default ${DEFAULT_ADDRESS})`)
    .option(
      "--timeout <time>",
      `how long to wait for an answer (default ${formatDuration(defaultTimeoutMs)})`,
      parsePositiveDuration,
      defaultTimeoutMs,
    )
    .option("--json", "print protobuf JSON, one line a message", false);
}

/** A replica to call. */
export interface Connection {
  readonly address: string;
  readonly timeoutMs: number;
  /** Calls end after `timeoutMs` unless they say otherwise. */
  readonly permissions: Client<typeof PermissionService>;
  readonly channels: Client<typeof ChannelService>;
}

/**
 * Calls `use` with a connection and closes it afterwards.
 *
 * @throws CommandFailure that says what is wrong if a call fails; anything else that `use` throws as it is
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
    });
  } catch (error) {
    throw describeCallError(error, { address, timeoutMs });
  } finally {
    session.close();
  }
}

function parseAddress(address: string): string {
  if (!parseHostPort(address)?.port) {
    throw new CommandFailure(`"${address}" is no address; write host:port, for example ${DEFAULT_ADDRESS}`, 2);
  }
  return address;
}

// Who asks, for the actor of a change: a header carries only printable ASCII.
function actor(): string {
  let name: string;
  try {
    name = userInfo().username;
  } catch {
    // A user id without an entry in the password file, as in many containers.
    name = String(process.getuid?.() ?? "unknown");
  }
  return `cli:${name.replace(/[^\x21-\x7e]/g, "_")}`;
}

// Only where nobody has to prove anything the actor counts.
const nameCaller =
  (token: (() => string) | undefined): Interceptor =>
  (next) =>
  (request) => {
    request.header.set("squelch-actor", actor());
    if (token !== undefined) request.header.set("authorization", `Bearer ${token()}`);
    return next(request);
  };
