import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  EventChangesSchema,
  SnapshotReason,
  SnapshotSchema,
  WatchPermissionsResponseSchema,
} from "../../gen/squelch/v1/permission_service_pb.js";
import type { Change } from "../../src/domain/change.js";
import {
  encodeBatch,
  encodeBatchHeader,
  encodeChange,
  encodeSnapshotChunk,
  encodeSnapshotPart,
  withReason,
} from "../../src/server/feed/encode.js";
import { encodeSnapshotUser } from "../../src/server/feed/encodeUser.js";
import { toChangeMessage } from "../../src/server/feed/messages.js";

const id = fc.string({ unit: "grapheme", minLength: 1, maxLength: 40 });
const bytesOf = (parts: readonly Uint8Array[]) => parts.reduce((sum, part) => sum + part.length, 0);

describe("what is laid out by hand is, byte for byte, what the generated code writes", () => {
  it("a user of a snapshot", () => {
    const member = fc.record({
      userId: id,
      channelIds: fc.array(id, { maxLength: 30 }),
      disconnectedAtMs: fc.option(fc.integer({ min: 0, max: 4e12 }), { nil: undefined }),
    });
    fc.assert(
      fc.property(member, ({ userId, channelIds, disconnectedAtMs }) => {
        const disconnected = disconnectedAtMs !== undefined && { disconnectedAt: timestampFromMs(disconnectedAtMs) };
        const message = create(SnapshotSchema, { users: [{ userId, channelIds, ...disconnected }] });
        const encoded = encodeSnapshotUser({ userId, channelIds, disconnectedAtMs, revision: 0 });
        expect(Buffer.compare(encoded, toBinary(SnapshotSchema, message))).toBe(0);
      }),
    );
  });

  it("a batch of changes", () => {
    const change = fc.record({ userId: id, channelIds: fc.array(id, { maxLength: 300 }), action: id, actor: id });
    fc.assert(
      fc.property(id, id, fc.array(change, { minLength: 1, maxLength: 20 }), (eventId, epoch, fields) => {
        const changes = fields.map(({ actor, ...rest }, index): Change => {
          const diff = { added: rest.channelIds, removed: [] };
          return { kind: "membershipChanged", ...rest, ...diff, actor, revision: index + 1, timeMs: 1_700_000_000_123 };
        });
        const parts = changes.map(encodeChange);
        const value = create(EventChangesSchema, { eventId, epoch, changes: changes.map(toChangeMessage) });
        const message = create(WatchPermissionsResponseSchema, { payload: { case: "changes", value } });
        const encoded = encodeBatch(encodeBatchHeader(eventId, epoch), parts, bytesOf(parts));
        expect(encoded.equals(toBinary(WatchPermissionsResponseSchema, message))).toBe(true);
      }),
    );
  });

  it("a chunk with each reason, its last field", () => {
    const parts = [
      encodeSnapshotPart({ eventId: "e" }),
      encodeSnapshotUser({ userId: "u", channelIds: [], revision: 0 }),
    ];
    const initial = encodeSnapshotChunk(parts, bytesOf(parts));
    for (const reason of [SnapshotReason.INITIAL, SnapshotReason.CURSOR_TOO_OLD, SnapshotReason.STORE_RESET]) {
      const value = create(SnapshotSchema, { eventId: "e", users: [{ userId: "u" }], reason });
      const message = create(WatchPermissionsResponseSchema, { payload: { case: "snapshot", value } });
      expect(withReason(initial, reason).equals(toBinary(WatchPermissionsResponseSchema, message))).toBe(true);
    }
  });
});
