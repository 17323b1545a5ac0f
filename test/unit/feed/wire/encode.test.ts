import { create, toBinary } from "@bufbuild/protobuf";
import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CheckpointSchema } from "../../../../gen/squelch/v1/model_pb.js";
import {
  EventChangesSchema,
  SnapshotReason,
  SnapshotSchema,
  type WatchPermissionsResponse,
  WatchPermissionsResponseSchema,
} from "../../../../gen/squelch/v1/permission_service_pb.js";
import type { Change } from "../../../../src/domain/change.js";
import {
  encodeBatch,
  encodeBatchHeader,
  encodeSnapshotChunk,
  encodeSnapshotPart,
  withReason,
} from "../../../../src/server/feed/wire/encode.js";
import { encodeChange } from "../../../../src/server/feed/wire/encodeChange.js";
import { encodeCheckpoint } from "../../../../src/server/feed/wire/encodeCheckpoint.js";
import { encodeSnapshotUser } from "../../../../src/server/feed/wire/encodeUser.js";
import { toChangeMessage, toCursorMessage } from "../../../../src/server/feed/wire/messages.js";

const id = fc.string({ unit: "grapheme", minLength: 1, maxLength: 40 });
const bytesOf = (parts: readonly Uint8Array[]) => parts.reduce((sum, part) => sum + part.length, 0);

function frameOf(payload: WatchPermissionsResponse["payload"]): Buffer {
  const schema = WatchPermissionsResponseSchema;
  const message = toBinary(schema, create(schema, { payload }));
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

describe("messages that are encoded by hand have the bytes of the generated code", () => {
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
    const ids = fc.array(id, { maxLength: 100 });
    const text = fc.oneof(fc.constant(""), id);
    const change = fc.record({
      ...{ userId: text, channelIds: ids, added: ids, removed: ids, action: text, actor: text },
      revision: fc.oneof(fc.nat(300), fc.maxSafeNat()),
      timeMs: fc.oneof(fc.nat(2_000), fc.integer({ min: 0, max: 4e12 })),
    });
    fc.assert(
      fc.property(id, id, fc.array(change, { minLength: 1, maxLength: 20 }), (eventId, epoch, fields) => {
        const changes = fields.map((each): Change => ({ kind: "membershipChanged", ...each }));
        const parts = changes.map(encodeChange);
        const value = create(EventChangesSchema, { eventId, epoch, changes: changes.map(toChangeMessage) });
        const encoded = encodeBatch(encodeBatchHeader(eventId, epoch), parts, bytesOf(parts));
        expect(encoded.equals(frameOf({ case: "changes", value }))).toBe(true);
      }),
    );
  });

  it("a checkpoint", () => {
    const position = fc.record({ eventId: id, epoch: id, revision: fc.oneof(fc.nat(300), fc.maxSafeNat()) });
    const health = fc.record({
      healthy: fc.boolean(),
      ageMs: fc.option(fc.nat(100_000), { nil: undefined }),
      problem: fc.option(fc.string({ maxLength: 300 }), { nil: undefined }),
    });
    fc.assert(
      fc.property(fc.array(position, { maxLength: 20 }), health, (positions, { healthy, ageMs, problem }) => {
        const cursors = positions.map((each) => toCursorMessage(each.eventId, each));
        const feedAge = ageMs !== undefined && { feedAge: durationFromMs(ageMs) };
        const value = create(CheckpointSchema, {
          cursors,
          feedHealthy: healthy,
          feedProblem: problem ?? "",
          ...feedAge,
        });
        const encoded = encodeCheckpoint(positions, { healthy, ageMs, problem });
        expect(encoded.equals(frameOf({ case: "checkpoint", value }))).toBe(true);
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
      expect(withReason(initial, reason).equals(frameOf({ case: "snapshot", value }))).toBe(true);
    }
  });
});
