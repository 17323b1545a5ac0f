import { Metadata, type StatusObject, status } from "@grpc/grpc-js";
import type { SquelchErrorCode } from "../../domain/errorReasons.js";
import { SquelchError } from "../../domain/errors.js";
import { encodeDetails } from "./errorDetails.js";

/** The gRPC status of each code. */
export const codes: Record<SquelchErrorCode, status> = {
  invalidArgument: status.INVALID_ARGUMENT,
  notFound: status.NOT_FOUND,
  failedPrecondition: status.FAILED_PRECONDITION,
  unauthenticated: status.UNAUTHENTICATED,
  permissionDenied: status.PERMISSION_DENIED,
  resourceExhausted: status.RESOURCE_EXHAUSTED,
  unavailable: status.UNAVAILABLE,
  unimplemented: status.UNIMPLEMENTED,
};

/** The trailer with the time in ms after which a client may retry (gRFC A6). */
const PUSHBACK_KEY = "grpc-retry-pushback-ms";

/** The trailer with the details of an error: a google.rpc.Status. */
const DETAILS_KEY = "grpc-status-details-bin";

/** The client has cancelled its call, or its connection is gone. It receives no answer. */
export class CallCancelled extends Error {
  override readonly name = "CallCancelled";

  constructor() {
    super("the client cancelled the call");
  }
}

/** True for an error that is a mistake in Squelch. Callers know how to handle all other failures. */
export function isDefect(error: unknown): boolean {
  return !(error instanceof SquelchError || error instanceof CallCancelled);
}

/** The status that a failed call ends with. The details of a defect stay out of it: only the log has them. */
export function toStatus(error: unknown): Pick<StatusObject, "code" | "details"> & Partial<StatusObject> {
  if (error instanceof CallCancelled) return { code: status.CANCELLED, details: error.message };
  if (!(error instanceof SquelchError)) {
    return { code: status.INTERNAL, details: "internal error; the replica's log has the details" };
  }
  const { code, message: details, retryAfterMs } = error;
  const metadata = new Metadata();
  metadata.set(DETAILS_KEY, encodeDetails(codes[code], error));
  if (retryAfterMs !== undefined) metadata.set(PUSHBACK_KEY, `${retryAfterMs}`);
  return { code: codes[code], details, metadata };
}
