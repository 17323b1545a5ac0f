import { create, type DescMessage, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { anyPack, durationFromMs } from "@bufbuild/protobuf/wkt";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "../../../gen/google/rpc/error_details_pb.js";
import { StatusSchema } from "../../../gen/google/rpc/status_pb.js";
import { ERROR_REASONS, type ErrorReason } from "../../domain/errorReasons.js";
import type { SquelchError } from "../../domain/errors.js";
import { ERROR_DOMAIN } from "../../wire/errorInfo.js";

/** When to repeat a call if the error does not say it, ms. */
const DEFAULT_RETRY_MS = 500;

/** One detail of an error, with the type of its message. */
export interface ErrorDetail {
  desc: DescMessage;
  value: MessageInitShape<DescMessage>;
}

/** Returns the details of an error: its ErrorInfo, the field that is not valid, and when to repeat the call. */
export function detailsOf({ reason, metadata, message, retryAfterMs }: SquelchError): ErrorDetail[] {
  if (reason === undefined) return [];
  const details: ErrorDetail[] = [{ desc: ErrorInfoSchema, value: { reason, domain: ERROR_DOMAIN, metadata } }];
  const { field } = metadata;
  if (reason === "INVALID_FIELD" && field !== undefined) {
    const description = message.startsWith(`${field}: `) ? message.slice(field.length + 2) : message;
    details.push({ desc: BadRequestSchema, value: { fieldViolations: [{ field, description }] } });
  }
  const rule = ERROR_REASONS[reason as ErrorReason];
  if ("isRetryable" in rule) {
    details.push({ desc: RetryInfoSchema, value: { retryDelay: durationFromMs(retryAfterMs ?? DEFAULT_RETRY_MS) } });
  }
  return details;
}

/** Returns the google.rpc.Status that gRPC sends beside the status and the message of an error. */
export function encodeDetails(code: number, error: SquelchError): Buffer {
  const details = detailsOf(error).map(({ desc, value }) => anyPack(desc, create(desc, value)));
  return Buffer.from(toBinary(StatusSchema, create(StatusSchema, { code, message: error.message, details })));
}
