import type { Message } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { type ServiceError, status } from "@grpc/grpc-js";
import type {
  ActiveSpeaker as ActiveSpeakerMessage,
  SpeakerPause as SpeakerPauseMessage,
  UserBan as UserBanMessage,
} from "../../../gen/squelch/v1/model_pb.js";
import {
  FloorDenyCause as DenyCause,
  FloorPriority as Priority,
  FloorRevokeCause as RevokeCause,
} from "../../../gen/squelch/v1/model_pb.js";
import type { UserBan } from "../../domain/ban.js";
import { SquelchError, type SquelchErrorCode } from "../../domain/errors.js";
import {
  type ActiveSpeaker,
  FLOOR_PRIORITIES,
  type FloorDenyCause,
  type FloorPriority,
  type FloorRevokeCause,
  type SpeakerPause,
} from "../../domain/floor.js";

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
    priority: priorityOf(message.priority),
  };
}

// A priority that a newer replica may add counts as normal.
function priorityOf(message: Priority): FloorPriority {
  return FLOOR_PRIORITIES.find((priority) => priorities[priority] === message) ?? "normal";
}

const priorities: Record<FloorPriority, Priority> = {
  normal: Priority.NORMAL,
  dispatch: Priority.DISPATCH,
  imminentPeril: Priority.IMMINENT_PERIL,
  emergency: Priority.EMERGENCY,
};

/** Converts a priority to its number in the contract. */
export function toPriorityMessage(priority: FloorPriority): Priority {
  return priorities[priority];
}

/** Converts the cause of a lost floor. A cause that a newer replica may add becomes `other`. */
export function revokeCauseOf(cause: RevokeCause): FloorRevokeCause {
  if (cause === RevokeCause.TALKED_TOO_LONG) return "talkedTooLong";
  if (cause === RevokeCause.NO_PERMISSION) return "noPermission";
  return cause === RevokeCause.PRE_EMPTED ? "preEmpted" : "other";
}

/** Converts the cause of a denial. A cause that a newer replica may add becomes `other`. */
export function denyCauseOf(cause: DenyCause): FloorDenyCause | "other" {
  if (cause === DenyCause.ANOTHER_HAS_PERMISSION) return "anotherHasPermission";
  if (cause === DenyCause.RETRY_AFTER) return "retryAfter";
  if (cause === DenyCause.RECEIVE_ONLY) return "receiveOnly";
  return cause === DenyCause.QUEUE_FULL ? "queueFull" : "other";
}

const refusalCodes = new Map<status, SquelchErrorCode>([
  [status.INVALID_ARGUMENT, "invalidArgument"],
  [status.PERMISSION_DENIED, "permissionDenied"],
  [status.UNIMPLEMENTED, "unimplemented"],
]);

/** The SquelchError for a watch that a replica refused, with the replica's message and the gRPC error as `cause`. */
export function refusalOf(error: ServiceError): SquelchError {
  return new SquelchError(refusalCodes.get(error.code) ?? "unauthenticated", error.details, { cause: error });
}
