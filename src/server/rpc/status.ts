import { type StatusObject, status } from "@grpc/grpc-js";
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

/** What the caller is told of a failure. One that is no SquelchError is a defect: its details are for the log alone. */
export function toStatus(error: unknown): Pick<StatusObject, "code" | "details"> {
  if (error instanceof SquelchError) return { code: codes[error.code], details: error.message };
  return { code: status.INTERNAL, details: "internal error; the replica's log has the details" };
}
