import { SpeakersSnapshotSchema, WatchChannelsResponseSchema } from "../../../../gen/squelch/v1/channel_service_pb.js";
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

const { eventId, channelId, holder, time, snapshot } = WatchChannelsResponseSchema.field;
const EVENT_ID_TAG = lengthDelimited(eventId.number);
const CHANNEL_ID_TAG = lengthDelimited(channelId.number);
const TIME_TAG = lengthDelimited(time.number);
const SNAPSHOT_TAG = lengthDelimited(snapshot.number);

/** Returns a frame with the speaker of one channel. It is laid out by hand, because a pause changes thousands. */
export function encodeFloor(
  event: string,
  channel: string,
  speaker: ActiveSpeaker | undefined,
  timeMs: number,
): Buffer {
  const speakers = speaker === undefined ? [] : [toSpeakerFields(speaker)];
  return encode(event, channel, encodeActiveSpeakers(holder.number, speakers), timeMs);
}

/** Returns a frame with all speakers of an event. */
export function encodeFloors(event: string, speakers: readonly ActiveSpeaker[], timeMs: number): Buffer {
  const content = encodeActiveSpeakers(SpeakersSnapshotSchema.field.speakers.number, speakers.map(toSpeakerFields));
  const field = Buffer.allocUnsafe(fieldLength(content.length));
  writeBytes(field, writeHeader(field, 0, SNAPSHOT_TAG, content.length), content);
  return encode(event, "", field, timeMs);
}

// The argument `floors` is an encoded field with its tag. Fields may come in any order.
function encode(event: string, channel: string, floors: Uint8Array, timeMs: number): Buffer {
  const at = timeMs > 0 ? timeFields(timeMs) : undefined;
  const length = textLengthIfAny(event) + textLengthIfAny(channel) + floors.length + timeFieldLength(at);
  const frame = Buffer.allocUnsafe(FRAME_PREFIX_BYTES + length);
  let next = writeTextIfAny(frame, writeFramePrefix(frame, length), EVENT_ID_TAG, event);
  next = writeTextIfAny(frame, next, CHANNEL_ID_TAG, channel);
  next = writeBytes(frame, next, floors);
  writeTime(frame, next, TIME_TAG, at);
  return frame;
}
