import { ERROR_REASONS, type ErrorReason, type MetadataOf, type SquelchErrorCode } from "./errorReasons.js";

/** The name of a membership limit, as in the metrics. */
export type MembershipLimit = "users_per_event" | "channels_per_user";

interface ErrorOptionsOfSquelch {
  cause?: unknown;
  /** How long the caller should wait before a retry, ms. Default: the caller chooses. */
  retryAfterMs?: number | undefined;
  /** The membership limit that was exceeded, if that is the reason. */
  limit?: MembershipLimit | undefined;
  /** The reason that the server gave. It may be newer than this program. */
  reason?: string | undefined;
  metadata?: Readonly<Record<string, string>> | undefined;
}

/**
 * A failure that the caller can understand. The message names the field or the remedy and is sent to the caller as it is.
 * Programs decide by `reason`, never by the message. Any other error is a defect and is reported as internal, without its
 * message.
 */
export class SquelchError extends Error {
  override readonly name = "SquelchError";
  /** How long the caller should wait before a retry, ms. Undefined: the caller chooses. */
  readonly retryAfterMs: number | undefined;
  /** The membership limit that was exceeded, if that is the reason. */
  readonly limit: MembershipLimit | undefined;
  /** One of `ERROR_REASONS`. Undefined for an error that is not sent to callers, such as a wrong option. */
  readonly reason: string | undefined;
  /** What the reason is about; docs/errors.md lists the keys of each reason. */
  readonly metadata: Readonly<Record<string, string>>;

  constructor(
    readonly code: SquelchErrorCode,
    message: string,
    options?: ErrorOptionsOfSquelch,
  ) {
    super(message, options);
    this.retryAfterMs = options?.retryAfterMs;
    this.limit = options?.limit;
    this.reason = options?.reason;
    this.metadata = options?.metadata ?? {};
  }
}

/** Returns an error with a reason. The table of reasons gives its code. */
export function refusal<Reason extends ErrorReason>(
  reason: Reason,
  message: string,
  metadata: MetadataOf<Reason>,
  options?: Omit<ErrorOptionsOfSquelch, "reason" | "metadata">,
): SquelchError {
  return new SquelchError(ERROR_REASONS[reason].code, message, { ...options, reason, metadata });
}

/**
 * Returns the error for a field of a request that is not valid.
 *
 * @param field the path of the field, with the names of the proto file, for example `cursors[2].event_id`
 */
export function invalidField(field: string, problem: string): SquelchError {
  return refusal("INVALID_FIELD", `${field}: ${problem}`, { field });
}

/** True for a temporary failure, after which the same request can be retried. */
export function isUnavailable(error: unknown): boolean {
  return error instanceof SquelchError && error.code === "unavailable";
}
