import { ConnectError } from "@connectrpc/connect";
import { SquelchError } from "../../../domain/errors.js";
import { detailsOf } from "../errorDetails.js";
import { toStatus } from "../status.js";

/** Returns the error that Connect sends to the client for a failure. */
export function toConnectError(error: unknown): ConnectError {
  const { code, details, metadata } = toStatus(error);
  const headers = Object.fromEntries(Object.entries(metadata?.getMap() ?? {}).filter(isText));
  // Connect and gRPC use equal numbers for their codes.
  const rich = error instanceof SquelchError ? detailsOf(error) : [];
  return new ConnectError(details, code as number, headers, rich);
}

// Connect writes the details itself, so the binary trailer of gRPC is left out.
function isText(entry: [string, string | Buffer]): entry is [string, string] {
  return typeof entry[1] === "string";
}
