import { fromBinary } from "@bufbuild/protobuf";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import type { ConnectError } from "@connectrpc/connect";
import { type ErrorInfo, ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.js";
import { StatusSchema } from "../../gen/google/rpc/status_pb.js";

/** The domain of the reasons of Squelch in a google.rpc.ErrorInfo. */
export const ERROR_DOMAIN = "squelch";

/** Why a call failed, for programs. docs/errors.md lists the reasons. */
export interface ErrorReasonInfo {
  reason: string;
  metadata: Readonly<Record<string, string>>;
}

/** Returns the reason of an error of Connect; undefined if the error has none, for example because nothing answered. */
export function reasonOfConnectError(error: ConnectError): ErrorReasonInfo | undefined {
  return ownReason(error.findDetails(ErrorInfoSchema));
}

/** Returns the reason in the trailer `grpc-status-details-bin`; undefined if there is none that can be read. */
export function reasonOfStatusDetails(trailer: Uint8Array | string | undefined): ErrorReasonInfo | undefined {
  if (!(trailer instanceof Uint8Array)) return undefined;
  try {
    return ownReason(fromBinary(StatusSchema, trailer).details.flatMap((any) => anyUnpack(any, ErrorInfoSchema) ?? []));
  } catch {
    // Something between the client and the replica has written the trailer.
    return undefined;
  }
}

function ownReason(infos: readonly ErrorInfo[]): ErrorReasonInfo | undefined {
  const info = infos.find(({ domain }) => domain === ERROR_DOMAIN);
  return info && { reason: info.reason, metadata: info.metadata };
}
