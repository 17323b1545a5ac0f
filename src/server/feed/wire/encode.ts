import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import {
  EventChangesSchema,
  SnapshotReason,
  SnapshotSchema,
  WatchPermissionsResponseSchema,
} from "../../../../gen/squelch/v1/permission_service_pb.js";
import { FRAME_PREFIX_BYTES, writeFramePrefix } from "./frame.js";
import { fieldLength, lengthDelimited, varintTag, writeBytes, writeHeader } from "./wireLayout.js";

// The outermost level of a message is encoded by hand, so that it can be built from parts that were encoded before.
// This works because a repeated field is the concatenation of its elements, each with its own tag.

const SNAPSHOT_TAG = lengthDelimited(WatchPermissionsResponseSchema.field.snapshot.number);
const CHANGES_TAG = lengthDelimited(WatchPermissionsResponseSchema.field.changes.number);
const SPEAKERS_TAG = lengthDelimited(WatchPermissionsResponseSchema.field.speakers.number);
const REASON_TAG = varintTag(SnapshotSchema.field.reason.number);

// Returns a frame with a WatchPermissionsResponse. Its payload has that tag and consists of the parts.
function wrap(tag: number, parts: readonly Uint8Array[], partsBytes: number): Buffer {
  const messageBytes = fieldLength(partsBytes);
  const frame = Buffer.allocUnsafeSlow(FRAME_PREFIX_BYTES + messageBytes);
  let at = writeHeader(frame, writeFramePrefix(frame, messageBytes), tag, partsBytes);
  for (const part of parts) at = writeBytes(frame, at, part);
  return frame;
}

/** Encodes what precedes the changes in every batch of one event and epoch. */
export function encodeBatchHeader(eventId: string, epoch: string): Uint8Array {
  return toBinary(EventChangesSchema, create(EventChangesSchema, { eventId, epoch }));
}

/** Returns a frame with a batch: the header, then the parts, each an encoded change. */
export function encodeBatch(header: Uint8Array, parts: readonly Uint8Array[], partsBytes: number): Buffer {
  return wrap(CHANGES_TAG, [header, ...parts], header.length + partsBytes);
}

/** Returns a frame with an already encoded WatchChannelsResponse. */
export function encodeSpeakers(message: Uint8Array): Buffer {
  return wrap(SPEAKERS_TAG, [message], message.length);
}

/** Encodes fields of a Snapshot, as a part of a chunk. */
export function encodeSnapshotPart(fields: MessageInitShape<typeof SnapshotSchema>): Uint8Array {
  return toBinary(SnapshotSchema, create(SnapshotSchema, fields));
}

/**
 * Returns a frame with a chunk of a snapshot that consists of the parts. Its reason is INITIAL; `withReason` makes a copy
 * with another reason.
 */
export function encodeSnapshotChunk(parts: readonly Uint8Array[], partsBytes: number): Buffer {
  const reason = Uint8Array.of(REASON_TAG, SnapshotReason.INITIAL);
  return wrap(SNAPSHOT_TAG, [...parts, reason], partsBytes + reason.length);
}

/** Returns a copy of a chunk with another reason, which is the last byte of a chunk. */
export function withReason(chunk: Buffer, reason: SnapshotReason): Buffer {
  const copy = Buffer.from(chunk);
  copy[copy.length - 1] = reason;
  return copy;
}
