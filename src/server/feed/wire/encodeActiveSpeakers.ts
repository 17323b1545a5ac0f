import { ActiveSpeakerSchema } from "../../../../gen/squelch/v1/model_pb.js";
import type { SpeakerFields } from "./messages.js";
import {
  fieldLength,
  lengthDelimited,
  numberLengthIfAny,
  textLengthIfAny,
  timeFieldLength,
  varintTag,
  writeHeader,
  writeNumberIfAny,
  writeTextIfAny,
  writeTime,
} from "./wireLayout.js";

const { channelId, userId, userName, startedAt, expiresAt, priority } = ActiveSpeakerSchema.field;
const CHANNEL_ID_TAG = lengthDelimited(channelId.number);
const USER_ID_TAG = lengthDelimited(userId.number);
const USER_NAME_TAG = lengthDelimited(userName.number);
const STARTED_AT_TAG = lengthDelimited(startedAt.number);
const EXPIRES_AT_TAG = lengthDelimited(expiresAt.number);
const PRIORITY_TAG = varintTag(priority.number);

/**
 * Encodes speakers as the elements of a repeated field. It is laid out by hand for speed: a pause can cut thousands of
 * speakers, and encodes them twice, for its caller and for the watchers.
 *
 * @param fieldNumber 1 to 15
 */
export function encodeActiveSpeakers(fieldNumber: number, speakers: readonly SpeakerFields[]): Buffer {
  const tag = lengthDelimited(fieldNumber);
  const lengths = speakers.map(speakerLength);
  const bytes = Buffer.allocUnsafe(lengths.reduce((sum, length) => sum + fieldLength(length), 0));
  let at = 0;
  for (const [index, speaker] of speakers.entries()) {
    at = writeHeader(bytes, at, tag, lengths[index] as number);
    at = writeTextIfAny(bytes, at, CHANNEL_ID_TAG, speaker.channelId);
    at = writeTextIfAny(bytes, at, USER_ID_TAG, speaker.userId);
    at = writeTextIfAny(bytes, at, USER_NAME_TAG, speaker.userName);
    at = writeTime(bytes, at, STARTED_AT_TAG, speaker.startedAt);
    at = writeTime(bytes, at, EXPIRES_AT_TAG, speaker.expiresAt);
    at = writeNumberIfAny(bytes, at, PRIORITY_TAG, speaker.priority);
  }
  return bytes;
}

function speakerLength(speaker: SpeakerFields): number {
  return (
    textLengthIfAny(speaker.channelId) +
    textLengthIfAny(speaker.userId) +
    textLengthIfAny(speaker.userName) +
    timeFieldLength(speaker.startedAt) +
    timeFieldLength(speaker.expiresAt) +
    numberLengthIfAny(speaker.priority)
  );
}
