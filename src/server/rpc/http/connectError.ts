import { ConnectError } from "@connectrpc/connect";
import { toStatus } from "../status.js";

/** Returns the error that Connect sends to the client for a failure. */
export function toConnectError(error: unknown): ConnectError {
  const { code, details, metadata } = toStatus(error);
  const headers = metadata?.getMap() as Record<string, string> | undefined;
  // Connect and gRPC number their codes alike.
  return new ConnectError(details, code as number, headers);
}
