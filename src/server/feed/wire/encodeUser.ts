import { SnapshotSchema, UserMembershipSchema } from "../../../../gen/squelch/v1/permission_service_pb.js";
import type { Membership } from "../../../domain/membership.js";
import {
  fieldLength,
  lengthDelimited,
  textFieldLength,
  timeFieldLength,
  timeFields,
  writeHeader,
  writeText,
  writeTime,
} from "./wireLayout.js";

const USERS_TAG = lengthDelimited(SnapshotSchema.field.users.number);
const USER_ID_TAG = lengthDelimited(UserMembershipSchema.field.userId.number);
const CHANNEL_IDS_TAG = lengthDelimited(UserMembershipSchema.field.channelIds.number);
const DISCONNECTED_AT_TAG = lengthDelimited(UserMembershipSchema.field.disconnectedAt.number);

/**
 * Encodes one user as an element of `Snapshot.users`, with its tag. It is laid out by hand, because a snapshot has
 * thousands of users. The writer of the protobuf library takes five times as long, generated messages even longer.
 */
export function encodeSnapshotUser({ userId, channelIds, disconnectedAtMs }: Membership): Uint8Array {
  const time = disconnectedAtMs === undefined ? undefined : timeFields(disconnectedAtMs);
  let length = textFieldLength(userId) + timeFieldLength(time);
  for (const channelId of channelIds) length += textFieldLength(channelId);
  const bytes = Buffer.allocUnsafe(fieldLength(length));
  let at = writeHeader(bytes, 0, USERS_TAG, length);
  at = writeText(bytes, at, USER_ID_TAG, userId);
  for (const channelId of channelIds) at = writeText(bytes, at, CHANNEL_IDS_TAG, channelId);
  writeTime(bytes, at, DISCONNECTED_AT_TAG, time);
  return bytes;
}
