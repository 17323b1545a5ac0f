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

/** What a program can rely on in an error: its code, and the metadata. A key with a question mark may be missing. */
interface ReasonRule {
  code: SquelchErrorCode;
  metadata: readonly string[];
  /** True if the caller should repeat the call after a while. */
  isRetryable?: boolean;
}

/**
 * Every reason of `google.rpc.ErrorInfo` that Squelch sends, with its code and its metadata. docs/errors.md has this table,
 * and a test compares the two.
 */
export const ERROR_REASONS = {
  INVALID_FIELD: { code: "invalidArgument", metadata: ["field"] },
  INVALID_METADATA: { code: "invalidArgument", metadata: ["key"] },
  MALFORMED: { code: "invalidArgument", metadata: ["field?"] },
  PAGE_TOKEN_INVALID: { code: "invalidArgument", metadata: [] },
  REQUEST_ID_REUSED: { code: "invalidArgument", metadata: ["requestId"] },
  UNKNOWN_CHANNEL: { code: "notFound", metadata: ["channelId", "near?"] },
  CHANNEL_OF_ANOTHER_EVENT: { code: "failedPrecondition", metadata: ["channelId", "field"] },
  STALE_LEASE: { code: "failedPrecondition", metadata: ["channelId"] },
  NOT_HOLDER: { code: "failedPrecondition", metadata: ["channelId"] },
  PAUSE_STANDS: { code: "failedPrecondition", metadata: ["pauseId", "actor", "broadcaster?", "expiresAt"] },
  PAUSE_NOT_STANDING: { code: "failedPrecondition", metadata: ["pauseId"] },
  NOT_BANNED: { code: "failedPrecondition", metadata: ["userId"] },
  BROADCASTER_BANNED: { code: "failedPrecondition", metadata: ["userId", "expiresAt?"] },
  REVISION_UNKNOWN: { code: "failedPrecondition", metadata: ["revision", "epoch"] },
  REVISION_CHANGED: { code: "failedPrecondition", metadata: ["revision"] },
  NO_CONTROL_PLANE: { code: "failedPrecondition", metadata: [] },
  LIMIT_EXCEEDED: { code: "resourceExhausted", metadata: ["limit", "max"] },
  RATE_LIMITED: { code: "resourceExhausted", metadata: ["maxPerSecond"], isRetryable: true },
  STORE_UNAVAILABLE: { code: "unavailable", metadata: ["outcome"], isRetryable: true },
  STORE_REFUSES: { code: "unavailable", metadata: ["code", "outcome"], isRetryable: true },
  CONTENTION: { code: "unavailable", metadata: [], isRetryable: true },
  DRAINING: { code: "unavailable", metadata: [], isRetryable: true },
  KEYS_UNAVAILABLE: { code: "unavailable", metadata: [], isRetryable: true },
  TOKEN_MISSING: { code: "unauthenticated", metadata: [] },
  TOKEN_INVALID: { code: "unauthenticated", metadata: ["claim?"] },
  TOKEN_EXPIRED: { code: "unauthenticated", metadata: [] },
  CERTIFICATE_INVALID: { code: "unauthenticated", metadata: [] },
  CERTIFICATE_EXPIRED: { code: "unauthenticated", metadata: [] },
  SCOPE_MISSING: { code: "permissionDenied", metadata: ["scope", "call"] },
  EVENT_NOT_ALLOWED: { code: "permissionDenied", metadata: ["eventId?"] },
  FLEET_WIDE_CALL: { code: "permissionDenied", metadata: ["call"] },
} as const satisfies Record<string, ReasonRule>;

export type ErrorReason = keyof typeof ERROR_REASONS;

type KeyOf<Reason extends ErrorReason> = (typeof ERROR_REASONS)[Reason]["metadata"][number];
type OptionalKey<Key> = Key extends `${infer Name}?` ? Name : never;

/** The metadata of a reason. */
export type MetadataOf<Reason extends ErrorReason> = {
  readonly [Key in Exclude<KeyOf<Reason>, `${string}?`>]: string;
} & { readonly [Key in OptionalKey<KeyOf<Reason>>]?: string };
