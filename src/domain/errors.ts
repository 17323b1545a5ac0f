/** Every way in which a request can fail. Each maps to one gRPC status (`src/server/rpc/status.ts`). */
export type SquelchErrorCode =
  | "invalidArgument"
  | "notFound"
  | "failedPrecondition"
  | "unauthenticated"
  | "permissionDenied"
  | "resourceExhausted"
  | "unavailable"
  | "unimplemented";

/** The name of a membership limit, as in the metrics. */
export type MembershipLimit = "users_per_event" | "channels_per_user";

/**
 * A failure that the caller can understand. The message names the field or the remedy and is sent to the caller as it is.
 * Any other error is a defect and is reported as internal, without its message.
 */
export class SquelchError extends Error {
  override readonly name = "SquelchError";
  /** How long the caller should wait before a retry, ms. Undefined: the caller chooses. */
  readonly retryAfterMs: number | undefined;
  /** The membership limit that was exceeded, if that is the reason. */
  readonly limit: MembershipLimit | undefined;

  constructor(
    readonly code: SquelchErrorCode,
    message: string,
    options?: { cause?: unknown; retryAfterMs?: number; limit?: MembershipLimit },
  ) {
    super(message, options);
    this.retryAfterMs = options?.retryAfterMs;
    this.limit = options?.limit;
  }
}

/** True for a temporary failure, after which the same request can be retried. */
export function isUnavailable(error: unknown): boolean {
  return error instanceof SquelchError && error.code === "unavailable";
}
