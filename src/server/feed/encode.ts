import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { WireType } from "@bufbuild/protobuf/wire";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import {
  type Change as ChangeMessage,
  ChangeSchema,
  EventChangesSchema,
  SnapshotReason,
  SnapshotSchema,
  type SpeakersPaused,
  SpeakersPausedSchema,
  WatchPermissionsResponseSchema,
} from "../../../gen/squelch/v1/permission_service_pb.js";
import type { Change } from "../../domain/change.js";
import type { FeedHealth, LogPosition } from "../../domain/ports.js";
import { encodeActiveSpeakers } from "./encodeActiveSpeakers.js";
import { toChangeMessage, toCursorMessage } from "./messages.js";

// Messages are laid out by hand at their outermost level only, where a batch is put together from parts that were
// encoded before: a repeated field is the concatenation of its elements, each with its own tag.

const SNAPSHOT_TAG = tagOf(WatchPermissionsResponseSchema.field.snapshot.number, WireType.LengthDelimited);
const CHANGES_TAG = tagOf(WatchPermissionsResponseSchema.field.changes.number, WireType.LengthDelimited);
const SPEAKERS_TAG = tagOf(WatchPermissionsResponseSchema.field.speakers.number, WireType.LengthDelimited);
const CHANGE_TAG = tagOf(EventChangesSchema.field.changes.number, WireType.LengthDelimited);
const PAUSED_TAG = tagOf(ChangeSchema.field.speakersPaused.number, WireType.LengthDelimited);
const REASON_TAG = tagOf(SnapshotSchema.field.reason.number, WireType.Varint);

function tagOf(fieldNumber: number, wireType: number): number {
  return (fieldNumber << 3) | wireType;
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 0x7f; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  bytes.push(rest);
  return bytes;
}

// A field of that tag with a message that consists of these parts.
function wrap(tag: number, parts: readonly Uint8Array[], partsBytes: number): Buffer {
  const prefix = Buffer.from([tag, ...varint(partsBytes)]);
  return Buffer.concat([prefix, ...parts], prefix.length + partsBytes);
}

/** One change as an element of `EventChanges.changes`, with its tag: a part of a batch. */
export function encodeChange(change: Change): Uint8Array {
  const message = toChangeMessage(change);
  if (message.kind.case === "speakersPaused") return encodePause(message, message.kind.value);
  return toBinary(EventChangesSchema, create(EventChangesSchema, { changes: [message] }));
}

// What a pause has cut may be thousands.
function encodePause(message: ChangeMessage, { cut, ...rest }: SpeakersPaused): Uint8Array {
  const frame = toBinary(ChangeSchema, { ...message, kind: { case: undefined } });
  const paused = toBinary(SpeakersPausedSchema, { ...rest, cut: [] });
  const speakers = encodeActiveSpeakers(SpeakersPausedSchema.field.cut.number, cut);
  const kind = wrap(PAUSED_TAG, [paused, speakers], paused.length + speakers.length);
  return wrap(CHANGE_TAG, [frame, kind], frame.length + kind.length);
}

/** What comes before the changes in every batch of one event and epoch. */
export function encodeBatchHeader(eventId: string, epoch: string): Uint8Array {
  return toBinary(EventChangesSchema, create(EventChangesSchema, { eventId, epoch }));
}

/** A WatchPermissionsResponse with the changes that `parts` are. */
export function encodeBatch(header: Uint8Array, parts: readonly Uint8Array[], partsBytes: number): Buffer {
  return wrap(CHANGES_TAG, [header, ...parts], header.length + partsBytes);
}

/** A WatchPermissionsResponse with an encoded WatchChannelsResponse. */
export function encodeSpeakers(message: Uint8Array): Buffer {
  return wrap(SPEAKERS_TAG, [message], message.length);
}

/** Fields of a Snapshot: a part of a chunk. */
export function encodeSnapshotPart(fields: MessageInitShape<typeof SnapshotSchema>): Uint8Array {
  return toBinary(SnapshotSchema, create(SnapshotSchema, fields));
}

/**
 * A WatchPermissionsResponse with the chunk of a snapshot that `parts` are, for a watcher without a cursor.
 * `withReason` makes the same for others.
 */
export function encodeSnapshotChunk(parts: readonly Uint8Array[], partsBytes: number): Buffer {
  const reason = Uint8Array.of(REASON_TAG, SnapshotReason.INITIAL);
  return wrap(SNAPSHOT_TAG, [...parts, reason], partsBytes + reason.length);
}

/** The same chunk with another reason, which is its last byte. */
export function withReason(chunk: Buffer, reason: SnapshotReason): Buffer {
  if (reason === SnapshotReason.INITIAL) return chunk;
  const copy = Buffer.from(chunk);
  copy[copy.length - 1] = reason;
  return copy;
}

/** A WatchPermissionsResponse with a checkpoint. */
export function encodeCheckpoint(
  cursors: readonly { eventId: string; position: LogPosition }[],
  health: FeedHealth,
): Buffer {
  const checkpoint = {
    cursors: cursors.map(({ eventId, position }) => toCursorMessage(eventId, position)),
    feedHealthy: health.healthy,
    ...(health.ageMs !== undefined && { feedAge: durationFromMs(health.ageMs) }),
  };
  const message = create(WatchPermissionsResponseSchema, { payload: { case: "checkpoint", value: checkpoint } });
  return Buffer.from(toBinary(WatchPermissionsResponseSchema, message));
}
