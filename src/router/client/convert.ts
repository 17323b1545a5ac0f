import type { Message } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import type {
  ActiveSpeaker as ActiveSpeakerMessage,
  SpeakerPause as SpeakerPauseMessage,
  UserBan as UserBanMessage,
} from "../../../gen/squelch/v1/model_pb.js";
import type { UserBan } from "../../domain/ban.js";
import type { ActiveSpeaker, SpeakerPause } from "../../domain/floor.js";
import { priorityOf } from "../../wire/floorEnums.js";

type Timestamp = Parameters<typeof timestampMs>[0];

/** Milliseconds since 1970; 0 for a time that was not sent. */
export function msOf(timestamp: Timestamp | undefined): number {
  return timestamp === undefined ? 0 : timestampMs(timestamp);
}

/** A pause with its times in ms. */
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

/** A ban with its times in ms. */
export function banOf({ userId, reason, bannedBy, bannedAt, expiresAt }: UserBanMessage): UserBan {
  const bannedAtMs = bannedAt && timestampMs(bannedAt);
  return { userId, reason, bannedBy, bannedAtMs, expiresAtMs: expiresAt && timestampMs(expiresAt) };
}

/** A speaker with times in ms; one without a name goes by the user id. */
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
