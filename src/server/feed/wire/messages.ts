import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type Cursor as CursorMessage,
  CursorSchema,
  type FloorPriority,
  type SpeakerPause as SpeakerPauseMessage,
  SpeakerPauseSchema,
  type UserBan as UserBanMessage,
  UserBanSchema,
  type WaitingSpeakerSchema,
} from "../../../../gen/squelch/v1/model_pb.js";
import { type Change as ChangeMessage, ChangeSchema } from "../../../../gen/squelch/v1/permission_service_pb.js";
import type { UserBan } from "../../../domain/ban.js";
import type { Change } from "../../../domain/change.js";
import type { LogPosition } from "../../../domain/cursor.js";
import type { ActiveSpeaker, SpeakerPause, WaitingSpeaker } from "../../../domain/floor.js";
import { toDenyCauseMessage, toPriorityMessage, toRevokeCauseMessage } from "../../../wire/floorEnums.js";
import { type TimeFields, timeFields } from "./wireLayout.js";

// Converts the types of the domain to the messages of the API.

export function toCursorMessage(eventId: string, { epoch, revision }: LogPosition): CursorMessage {
  return create(CursorSchema, { eventId, epoch, revision: BigInt(revision) });
}

/** The fields of an `ActiveSpeaker`, without a message object: creating thousands of those takes longer than encoding. */
export interface SpeakerFields {
  channelId: string;
  userId: string;
  userName: string;
  startedAt: TimeFields<bigint> | undefined;
  expiresAt: TimeFields<bigint> | undefined;
  priority: FloorPriority;
}

// Returns undefined for 0, which stands for an unknown time.
function toTime(ms: number): TimeFields<bigint> | undefined {
  if (ms <= 0) return undefined;
  const { seconds, nanos } = timeFields(ms);
  return { seconds: BigInt(seconds), nanos };
}

export function toSpeakerFields(speaker: ActiveSpeaker): SpeakerFields {
  const { channelId, userId, userName, startedAtMs, expiresAtMs, priority } = speaker;
  const [startedAt, expiresAt] = [toTime(startedAtMs), toTime(expiresAtMs)];
  return { channelId, userId, userName, startedAt, expiresAt, priority: toPriorityMessage(priority) };
}

export function toWaitingSpeakerMessage(one: WaitingSpeaker): MessageInitShape<typeof WaitingSpeakerSchema> {
  const { expiresAtMs, priority, ...rest } = one;
  return { ...rest, priority: toPriorityMessage(priority), expiresAt: timestampFromMs(expiresAtMs) };
}

export function toSpeakerPauseMessage(pause: SpeakerPause): SpeakerPauseMessage {
  const { startedAtMs, expiresAtMs, broadcaster, ...rest } = pause;
  return create(SpeakerPauseSchema, {
    ...rest,
    startedAt: timestampFromMs(startedAtMs),
    expiresAt: timestampFromMs(expiresAtMs),
    ...(broadcaster && { broadcaster }),
  });
}

export function toUserBanMessage({ bannedAtMs, expiresAtMs, ...rest }: UserBan): UserBanMessage {
  return create(UserBanSchema, {
    ...rest,
    ...(bannedAtMs !== undefined && { bannedAt: timestampFromMs(bannedAtMs) }),
    ...(expiresAtMs !== undefined && { expiresAt: timestampFromMs(expiresAtMs) }),
  });
}

export function toChangeMessage(change: Change): ChangeMessage {
  return create(ChangeSchema, {
    revision: BigInt(change.revision),
    time: timestampFromMs(change.timeMs),
    actor: change.actor,
    kind: toKind(change),
  });
}

function toKind(change: Change): NonNullable<MessageInitShape<typeof ChangeSchema>["kind"]> {
  switch (change.kind) {
    case "membershipChanged": {
      const { userId, channelIds, added, removed, action } = change;
      return { case: "membershipChanged", value: { userId, channelIds, added, removed, action } };
    }
    case "speakersPaused": {
      const { replacedPauseId = "" } = change;
      const [pause, cut] = [toSpeakerPauseMessage(change.pause), change.cut.map(toSpeakerFields)];
      return { case: "speakersPaused", value: { pause, cut, replacedPauseId } };
    }
    case "speakersResumed":
      return { case: "speakersResumed", value: { pauseId: change.pauseId, expired: change.expired } };
    case "floorRevoked": {
      const { channelId, userId, byUserId, startedAtMs } = change;
      // Log entries of older versions have neither a lease id nor a start time.
      const leaseId = BigInt(change.leaseId ?? 0);
      const startedAt = startedAtMs > 0 && { startedAt: timestampFromMs(startedAtMs) };
      const cause = toRevokeCauseMessage(change.cause);
      return { case: "floorRevoked", value: { channelId, userId, cause, byUserId, leaseId, ...startedAt } };
    }
    case "floorRequestGranted": {
      const { channelId, userId, userName, sessionId } = change;
      const ids = { queueId: BigInt(change.queueId), leaseId: BigInt(change.leaseId) };
      const startedAt = timestampFromMs(change.startedAtMs);
      const expiresAt = timestampFromMs(change.expiresAtMs);
      const talkUntil = timestampFromMs(change.talkUntilMs);
      const terms = { startedAt, expiresAt, talkUntil, priority: toPriorityMessage(change.priority) };
      return { case: "floorRequestGranted", value: { channelId, userId, userName, sessionId, ...ids, ...terms } };
    }
    case "floorRequestDenied": {
      const { channelId, userId, sessionId } = change;
      const [queueId, cause] = [BigInt(change.queueId), toDenyCauseMessage(change.cause)];
      return { case: "floorRequestDenied", value: { channelId, userId, sessionId, queueId, cause } };
    }
    case "userDisconnected":
      return { case: "userDisconnected", value: { userId: change.userId, reason: change.reason } };
    case "userBanned":
      return { case: "userBanned", value: { ban: toUserBanMessage(change.ban) } };
    case "userUnbanned":
      return { case: "userUnbanned", value: { userId: change.userId, expired: change.expired } };
  }
}
