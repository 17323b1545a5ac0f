import {
  SpeakerChangedSchema,
  SpeakersSnapshotSchema,
  WatchChannelsResponseSchema,
} from "../../../../gen/squelch/v1/channel_service_pb.js";
import type { ActiveSpeaker } from "../../../domain/floor.js";
import { encodeActiveSpeakers } from "./encodeActiveSpeakers.js";
import { FRAME_PREFIX_BYTES, writeFramePrefix } from "./frame.js";
import { toSpeakerFields } from "./messages.js";
import {
  fieldLength,
  lengthDelimited,
  textLengthIfAny,
  timeFieldLength,
  timeFields,
  writeBytes,
  writeHeader,
  writeTextIfAny,
  writeTime,
} from "./wireLayout.js";

const { eventId, time, snapshot, changed } = WatchChannelsResponseSchema.field;
const { channelId, holder } = SpeakerChangedSchema.field;
const EVENT_ID_TAG = lengthDelimited(eventId.number);
const CHANNEL_ID_TAG = lengthDelimited(channelId.number);
const TIME_TAG = lengthDelimited(time.number);
const CHANGED_TAG = lengthDelimited(changed.number);
const SNAPSHOT_TAG = lengthDelimited(snapshot.number);

/** Returns a frame with the speaker of one channel. It is laid out by hand, because a pause changes thousands. */
export function encodeFloor(
  event: string,
  channel: string,
  speaker: ActiveSpeaker | undefined,
  timeMs: number,
): Buffer {
  const speakers = encodeActiveSpeakers(holder.number, speaker === undefined ? [] : [toSpeakerFields(speaker)]);
  const length = textLengthIfAny(channel) + speakers.length;
  const field = Buffer.allocUnsafe(fieldLength(length));
  const at = writeTextIfAny(field, writeHeader(field, 0, CHANGED_TAG, length), CHANNEL_ID_TAG, channel);
  writeBytes(field, at, speakers);
  return encode(event, field, timeMs);
}

/** Returns a frame with all speakers of an event. */
export function encodeFloors(event: string, speakers: readonly ActiveSpeaker[], timeMs: number): Buffer {
  const content = encodeActiveSpeakers(SpeakersSnapshotSchema.field.speakers.number, speakers.map(toSpeakerFields));
  const field = Buffer.allocUnsafe(fieldLength(content.length));
  writeBytes(field, writeHeader(field, 0, SNAPSHOT_TAG, content.length), content);
  return encode(event, field, timeMs);
}

// The argument `payload` is an encoded field with its tag. Fields may come in any order.
function encode(event: string, payload: Uint8Array, timeMs: number): Buffer {
  const at = timeMs > 0 ? timeFields(timeMs) : undefined;
  const length = textLengthIfAny(event) + payload.length + timeFieldLength(at);
  const frame = Buffer.allocUnsafe(FRAME_PREFIX_BYTES + length);
  let next = writeTextIfAny(frame, writeFramePrefix(frame, length), EVENT_ID_TAG, event);
  next = writeBytes(frame, next, payload);
  writeTime(frame, next, TIME_TAG, at);
  return frame;
}
