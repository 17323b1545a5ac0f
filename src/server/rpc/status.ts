import { Metadata, type StatusObject, status } from "@grpc/grpc-js";
import { SquelchError, type SquelchErrorCode } from "../../domain/errors.js";

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

/** The trailer that says after how many ms a repeat is welcome (gRFC A6). */
const PUSHBACK_KEY = "grpc-retry-pushback-ms";

/** What the caller is told of a failure. One that is no SquelchError is a defect: its details are for the log alone. */
export function toStatus(error: unknown): Pick<StatusObject, "code" | "details"> & Partial<StatusObject> {
  if (!(error instanceof SquelchError)) {
    return { code: status.INTERNAL, details: "internal error; the replica's log has the details" };
  }
  const { code, message: details, retryAfterMs } = error;
  if (retryAfterMs === undefined) return { code: codes[code], details };
  const metadata = new Metadata();
  metadata.set(PUSHBACK_KEY, `${retryAfterMs}`);
  return { code: codes[code], details, metadata };
}
