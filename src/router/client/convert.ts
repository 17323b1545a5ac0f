import type { Message } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { type ServiceError, status } from "@grpc/grpc-js";
import type {
  ActiveSpeaker as ActiveSpeakerMessage,
  SpeakerPause as SpeakerPauseMessage,
  UserBan as UserBanMessage,
} from "../../../gen/squelch/v1/model_pb.js";
import type { UserBan } from "../../domain/ban.js";
import type { SquelchErrorCode } from "../../domain/errorReasons.js";
import { SquelchError } from "../../domain/errors.js";
import type { ActiveSpeaker, SpeakerPause } from "../../domain/floor.js";
import { type ErrorReasonInfo, reasonOfStatusDetails } from "../../wire/errorInfo.js";
import { priorityOf } from "../../wire/floorEnums.js";

type Timestamp = Parameters<typeof timestampMs>[0];

/** Converts a timestamp to ms since 1970; returns 0 if it is undefined. */
export function msOf(timestamp: Timestamp | undefined): number {
  return timestamp === undefined ? 0 : timestampMs(timestamp);
}

/** Converts a pause message: times become ms since 1970. */
export function pauseOf(message: SpeakerPauseMessage): SpeakerPause {
  const { pauseId, reason, actor, exemptUserIds, broadcaster } = message;
  return {
    pauseId,
    reason,
    actor,
    startedAtMs: msOf(message.startedAt),
    expiresAtMs: msOf(message.expiresAt),
    exemptUserIds,
    ...(broadcaster && { broadcaster: { userId: broadcaster.userId, userName: broadcaster.userName } }),
  };
}

/** Converts a ban message: times become ms since 1970. */
export function banOf({ userId, reason, bannedBy, bannedAt, expiresAt }: UserBanMessage): UserBan {
  const bannedAtMs = bannedAt && timestampMs(bannedAt);
  return { userId, reason, bannedBy, bannedAtMs, expiresAtMs: expiresAt && timestampMs(expiresAt) };
}

/** Converts a speaker message: times become ms since 1970, and an empty name becomes the user id. */
export function speakerOf(message: Omit<ActiveSpeakerMessage, keyof Message>): ActiveSpeaker {
  const { channelId, userId, userName } = message;
  return {
    channelId,
    userId,
    userName: userName === "" ? userId : userName,
    startedAtMs: msOf(message.startedAt),
    expiresAtMs: msOf(message.expiresAt),
    // A newer replica may send a priority that this version does not know.
    priority: priorityOf(message.priority) ?? "normal",
  };
}

const refusalCodes = new Map<status, SquelchErrorCode>([
  [status.INVALID_ARGUMENT, "invalidArgument"],
  [status.PERMISSION_DENIED, "permissionDenied"],
  [status.UNIMPLEMENTED, "unimplemented"],
]);

/** The SquelchError for a watch that a replica refused, with the replica's message and the gRPC error as `cause`. */
export function refusalOf(error: ServiceError): SquelchError {
  const { reason, metadata } = reasonOf(error) ?? {};
  const code = refusalCodes.get(error.code) ?? "unauthenticated";
  return new SquelchError(code, error.details, { cause: error, reason, metadata });
}

/** Returns the reason that a replica gave for an error; undefined if the error is not from a replica. */
export function reasonOf(error: Pick<ServiceError, "metadata">): ErrorReasonInfo | undefined {
  const [trailer] = error.metadata?.get("grpc-status-details-bin") ?? [];
  return reasonOfStatusDetails(trailer);
}
