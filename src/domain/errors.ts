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

/** A limit of memberships, as the metrics call it. */
export type MembershipLimit = "users_per_event" | "channels_per_user";

/**
 * A request that failed for a reason its sender can understand. The message names the field or the remedy and is
 * shown to the sender as it is; anything that is not a SquelchError is a defect and is reported as internal.
 */
export class SquelchError extends Error {
  override readonly name = "SquelchError";
  /** After how many ms a repeat is welcome; undefined: as the sender sees fit. */
  readonly retryAfterMs: number | undefined;
  /** The limit that was in the way, if it was one of memberships. */
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

/** True for a failure that may pass by itself, so that the same request is worth repeating. */
export function isUnavailable(error: unknown): boolean {
  return error instanceof SquelchError && error.code === "unavailable";
}
