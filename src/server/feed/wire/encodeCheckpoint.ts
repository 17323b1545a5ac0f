import { DurationSchema } from "@bufbuild/protobuf/wkt";
import { WatchChannelsResponseSchema } from "../../../../gen/squelch/v1/channel_service_pb.js";
import { CheckpointSchema, CursorSchema } from "../../../../gen/squelch/v1/model_pb.js";
import { WatchPermissionsResponseSchema } from "../../../../gen/squelch/v1/permission_service_pb.js";
import type { LogPosition } from "../../../domain/cursor.js";
import type { FeedHealth } from "../../../domain/ports/engine.js";
import { FRAME_PREFIX_BYTES, writeFramePrefix } from "./frame.js";
import {
  fieldLength,
  lengthDelimited,
  numberLengthIfAny,
  textLengthIfAny,
  varintTag,
  writeHeader,
  writeNumberIfAny,
  writeTextIfAny,
} from "./wireLayout.js";

const PERMISSIONS_TAG = lengthDelimited(WatchPermissionsResponseSchema.field.checkpoint.number);
const CHANNELS_TAG = lengthDelimited(WatchChannelsResponseSchema.field.checkpoint.number);
const CURSORS_TAG = lengthDelimited(CheckpointSchema.field.cursors.number);
const FEED_HEALTHY_TAG = varintTag(CheckpointSchema.field.feedHealthy.number);
const FEED_PROBLEM_TAG = lengthDelimited(CheckpointSchema.field.feedProblem.number);
const FEED_AGE_TAG = lengthDelimited(CheckpointSchema.field.feedAge.number);
const EVENT_ID_TAG = lengthDelimited(CursorSchema.field.eventId.number);
const EPOCH_TAG = lengthDelimited(CursorSchema.field.epoch.number);
const REVISION_TAG = varintTag(CursorSchema.field.revision.number);
const SECONDS_TAG = varintTag(DurationSchema.field.seconds.number);
const NANOS_TAG = varintTag(DurationSchema.field.nanos.number);

/** The position of a watcher in one event. */
export type EventPosition = LogPosition & { eventId: string };

/** Returns a frame with a checkpoint of a WatchChannels stream, which has no cursors. */
export function encodeSpeakersCheckpoint(health: FeedHealth): Buffer {
  return encode(CHANNELS_TAG, [], health);
}

/**
 * Returns a frame with a checkpoint of a WatchPermissions stream. It is laid out by hand, because each watcher needs its own every few seconds, with a
 * cursor for each of its events, and the generated code takes ten times as long.
 */
export function encodeCheckpoint(positions: readonly EventPosition[], health: FeedHealth): Buffer {
  return encode(PERMISSIONS_TAG, positions, health);
}

function encode(tag: number, positions: readonly EventPosition[], health: FeedHealth): Buffer {
  const { healthy, ageMs, problem = "" } = health;
  const wholeMs = ageMs === undefined ? 0 : Math.round(ageMs);
  const seconds = Math.floor(wholeMs / 1_000);
  const nanos = (wholeMs % 1_000) * 1e6;
  const ageLength = numberLengthIfAny(seconds) + numberLengthIfAny(nanos);
  let length = numberLengthIfAny(Number(healthy)) + textLengthIfAny(problem);
  if (ageMs !== undefined) length += fieldLength(ageLength);
  for (const position of positions) length += fieldLength(cursorLength(position));

  const messageBytes = fieldLength(length);
  const frame = Buffer.allocUnsafe(FRAME_PREFIX_BYTES + messageBytes);
  let at = writeHeader(frame, writeFramePrefix(frame, messageBytes), tag, length);
  for (const position of positions) {
    at = writeHeader(frame, at, CURSORS_TAG, cursorLength(position));
    at = writeTextIfAny(frame, at, EVENT_ID_TAG, position.eventId);
    at = writeTextIfAny(frame, at, EPOCH_TAG, position.epoch);
    at = writeNumberIfAny(frame, at, REVISION_TAG, position.revision);
  }
  at = writeNumberIfAny(frame, at, FEED_HEALTHY_TAG, Number(healthy));
  if (ageMs !== undefined) {
    at = writeHeader(frame, at, FEED_AGE_TAG, ageLength);
    at = writeNumberIfAny(frame, at, SECONDS_TAG, seconds);
    at = writeNumberIfAny(frame, at, NANOS_TAG, nanos);
  }
  writeTextIfAny(frame, at, FEED_PROBLEM_TAG, problem);
  return frame;
}

function cursorLength({ eventId, epoch, revision }: EventPosition): number {
  return textLengthIfAny(eventId) + textLengthIfAny(epoch) + numberLengthIfAny(revision);
}
