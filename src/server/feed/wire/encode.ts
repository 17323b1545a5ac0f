import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import {
  EventChangesSchema,
  SnapshotReason,
  SnapshotSchema,
  WatchPermissionsResponseSchema,
} from "../../../../gen/squelch/v1/permission_service_pb.js";
import { FRAME_PREFIX_BYTES, writeFramePrefix } from "./frame.js";
import { fieldLength, lengthDelimited, varintTag, writeBytes, writeHeader } from "./wireLayout.js";

// Messages are laid out by hand at their outermost level, where a batch is put together from parts that were encoded
// before: a repeated field is the concatenation of its elements, each with its own tag.

const SNAPSHOT_TAG = lengthDelimited(WatchPermissionsResponseSchema.field.snapshot.number);
const CHANGES_TAG = lengthDelimited(WatchPermissionsResponseSchema.field.changes.number);
const SPEAKERS_TAG = lengthDelimited(WatchPermissionsResponseSchema.field.speakers.number);
const REASON_TAG = varintTag(SnapshotSchema.field.reason.number);

// A WatchPermissionsResponse whose payload of that tag consists of these parts, as a frame.
function wrap(tag: number, parts: readonly Uint8Array[], partsBytes: number): Buffer {
  const messageBytes = fieldLength(partsBytes);
  const frame = Buffer.allocUnsafeSlow(FRAME_PREFIX_BYTES + messageBytes);
  let at = writeHeader(frame, writeFramePrefix(frame, messageBytes), tag, partsBytes);
  for (const part of parts) at = writeBytes(frame, at, part);
  return frame;
}

/** What comes before the changes in every batch of one event and epoch. */
export function encodeBatchHeader(eventId: string, epoch: string): Uint8Array {
  return toBinary(EventChangesSchema, create(EventChangesSchema, { eventId, epoch }));
}

/** A frame with the changes that `parts` are. */
export function encodeBatch(header: Uint8Array, parts: readonly Uint8Array[], partsBytes: number): Buffer {
  return wrap(CHANGES_TAG, [header, ...parts], header.length + partsBytes);
}

/** A frame with an encoded WatchChannelsResponse. */
export function encodeSpeakers(message: Uint8Array): Buffer {
  return wrap(SPEAKERS_TAG, [message], message.length);
}

/** Fields of a Snapshot: a part of a chunk. */
export function encodeSnapshotPart(fields: MessageInitShape<typeof SnapshotSchema>): Uint8Array {
  return toBinary(SnapshotSchema, create(SnapshotSchema, fields));
}

/**
 * A frame with the chunk of a snapshot that `parts` are, for a watcher without a cursor.
 * `withReason` makes the same for others.
 */
export function encodeSnapshotChunk(parts: readonly Uint8Array[], partsBytes: number): Buffer {
  const reason = Uint8Array.of(REASON_TAG, SnapshotReason.INITIAL);
  return wrap(SNAPSHOT_TAG, [...parts, reason], partsBytes + reason.length);
}

/** The same chunk with another reason, which is its last byte. A copy. */
export function withReason(chunk: Buffer, reason: SnapshotReason): Buffer {
  const copy = Buffer.from(chunk);
  copy[copy.length - 1] = reason;
  return copy;
}
