import { toBinary } from "@bufbuild/protobuf";
import { WireType } from "@bufbuild/protobuf/wire";
import { TimestampSchema, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { SnapshotSchema, UserMembershipSchema } from "../../../gen/squelch/v1/permission_service_pb.js";
import type { Membership } from "../../domain/membership.js";

const lengthDelimited = (fieldNumber: number) => (fieldNumber << 3) | WireType.LengthDelimited;
const USERS_TAG = lengthDelimited(SnapshotSchema.field.users.number);
const USER_ID_TAG = lengthDelimited(UserMembershipSchema.field.userId.number);
const CHANNEL_IDS_TAG = lengthDelimited(UserMembershipSchema.field.channelIds.number);
const DISCONNECTED_AT_TAG = lengthDelimited(UserMembershipSchema.field.disconnectedAt.number);

/**
 * One user as an element of `Snapshot.users`: a part of a chunk. Laid out by hand, because a snapshot has thousands: the
 * writer of the protobuf library takes five times as long, generated messages more still.
 */
export function encodeSnapshotUser({ userId, channelIds, disconnectedAtMs }: Membership): Uint8Array {
  const time =
    disconnectedAtMs === undefined ? undefined : toBinary(TimestampSchema, timestampFromMs(disconnectedAtMs));
  let length = textFieldLength(userId);
  for (const channelId of channelIds) length += textFieldLength(channelId);
  if (time !== undefined) length += fieldLength(time.length);
  const bytes = Buffer.allocUnsafe(fieldLength(length));
  let at = writeHeader(bytes, 0, USERS_TAG, length);
  at = writeText(bytes, at, USER_ID_TAG, userId);
  for (const channelId of channelIds) at = writeText(bytes, at, CHANNEL_IDS_TAG, channelId);
  if (time !== undefined) bytes.set(time, writeHeader(bytes, at, DISCONNECTED_AT_TAG, time.length));
  return bytes;
}

// With its tag, which takes one byte for each of these fields, and its length.
function fieldLength(contentLength: number): number {
  let length = 2 + contentLength;
  for (let rest = contentLength >>> 7; rest > 0; rest >>>= 7) length++;
  return length;
}

function textFieldLength(text: string): number {
  return fieldLength(Buffer.byteLength(text));
}

function writeHeader(bytes: Buffer, at: number, tag: number, contentLength: number): number {
  let next = at;
  bytes[next++] = tag;
  let rest = contentLength;
  for (; rest > 0x7f; rest >>>= 7) bytes[next++] = (rest & 0x7f) | 0x80;
  bytes[next++] = rest;
  return next;
}

function writeText(bytes: Buffer, at: number, tag: number, text: string): number {
  const begin = writeHeader(bytes, at, tag, Buffer.byteLength(text));
  return begin + bytes.write(text, begin);
}
