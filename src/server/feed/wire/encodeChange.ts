import { create, toBinary } from "@bufbuild/protobuf";
import {
  ChangeSchema,
  EventChangesSchema,
  MembershipChangedSchema,
  type SpeakersPaused as SpeakersPausedMessage,
  SpeakersPausedSchema,
} from "../../../../gen/squelch/v1/permission_service_pb.js";
import type { Change, MembershipChanged, SpeakersPaused } from "../../../domain/change.js";
import { encodeActiveSpeakers } from "./encodeActiveSpeakers.js";
import { toChangeMessage, toSpeakerFields } from "./messages.js";
import {
  fieldLength,
  lengthDelimited,
  numberLengthIfAny,
  textFieldLength,
  textLengthIfAny,
  timeFieldLength,
  timeFields,
  varintTag,
  writeBytes,
  writeHeader,
  writeNumberIfAny,
  writeText,
  writeTextIfAny,
  writeTime,
} from "./wireLayout.js";

const CHANGES_TAG = lengthDelimited(EventChangesSchema.field.changes.number);
const REVISION_TAG = varintTag(ChangeSchema.field.revision.number);
const TIME_TAG = lengthDelimited(ChangeSchema.field.time.number);
const ACTOR_TAG = lengthDelimited(ChangeSchema.field.actor.number);
const MEMBERSHIP_CHANGED_TAG = lengthDelimited(ChangeSchema.field.membershipChanged.number);
const PAUSED_TAG = lengthDelimited(ChangeSchema.field.speakersPaused.number);
const USER_ID_TAG = lengthDelimited(MembershipChangedSchema.field.userId.number);
const CHANNEL_IDS_TAG = lengthDelimited(MembershipChangedSchema.field.channelIds.number);
const ADDED_TAG = lengthDelimited(MembershipChangedSchema.field.added.number);
const REMOVED_TAG = lengthDelimited(MembershipChangedSchema.field.removed.number);
const ACTION_TAG = lengthDelimited(MembershipChangedSchema.field.action.number);

/** Encodes one change as an element of `EventChanges.changes`, with its tag. Such elements make a batch. */
export function encodeChange(change: Change): Uint8Array {
  if (change.kind === "membershipChanged") return encodeMembershipChanged(change);
  if (change.kind === "speakersPaused") return encodePause(change);
  return toBinary(EventChangesSchema, create(EventChangesSchema, { changes: [toChangeMessage(change)] }));
}

// Laid out by hand, because a pause can cut thousands of speakers.
function encodePause(change: Change & SpeakersPaused): Uint8Array {
  const message = toChangeMessage({ ...change, cut: [] });
  const common = toBinary(ChangeSchema, { ...message, kind: { case: undefined } });
  const paused = toBinary(SpeakersPausedSchema, message.kind.value as SpeakersPausedMessage);
  const speakers = encodeActiveSpeakers(SpeakersPausedSchema.field.cut.number, change.cut.map(toSpeakerFields));
  const pausedLength = paused.length + speakers.length;
  const length = common.length + fieldLength(pausedLength);
  const bytes = Buffer.allocUnsafe(fieldLength(length));
  let at = writeBytes(bytes, writeHeader(bytes, 0, CHANGES_TAG, length), common);
  at = writeHeader(bytes, at, PAUSED_TAG, pausedLength);
  writeBytes(bytes, writeBytes(bytes, at, paused), speakers);
  return bytes;
}

// Runs for every update of the control plane. Laid out by hand it takes 0.75 µs, with the generated code 15 µs.
function encodeMembershipChanged(change: Change & MembershipChanged): Uint8Array {
  const { revision, timeMs, actor, userId, channelIds, added, removed, action } = change;
  const time = timeFields(timeMs);
  const kindLength =
    textLengthIfAny(userId) +
    listLength(channelIds) +
    listLength(added) +
    listLength(removed) +
    textLengthIfAny(action);
  const length = numberLengthIfAny(revision) + timeFieldLength(time) + textLengthIfAny(actor) + fieldLength(kindLength);

  const bytes = Buffer.allocUnsafe(fieldLength(length));
  let at = writeHeader(bytes, 0, CHANGES_TAG, length);
  at = writeNumberIfAny(bytes, at, REVISION_TAG, revision);
  at = writeTime(bytes, at, TIME_TAG, time);
  at = writeTextIfAny(bytes, at, ACTOR_TAG, actor);
  at = writeHeader(bytes, at, MEMBERSHIP_CHANGED_TAG, kindLength);
  at = writeTextIfAny(bytes, at, USER_ID_TAG, userId);
  at = writeList(bytes, at, CHANNEL_IDS_TAG, channelIds);
  at = writeList(bytes, at, ADDED_TAG, added);
  at = writeList(bytes, at, REMOVED_TAG, removed);
  writeTextIfAny(bytes, at, ACTION_TAG, action);
  return bytes;
}

function listLength(texts: readonly string[]): number {
  let length = 0;
  for (const text of texts) length += textFieldLength(text);
  return length;
}

function writeList(bytes: Buffer, at: number, tag: number, texts: readonly string[]): number {
  let next = at;
  for (const text of texts) next = writeText(bytes, next, tag, text);
  return next;
}
