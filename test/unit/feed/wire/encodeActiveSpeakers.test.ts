import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { expect, it } from "vitest";
import { WatchChannelsResponseSchema } from "../../../../gen/squelch/v1/channel_service_pb.js";
import {
  EventChangesSchema,
  GetEventActiveSpeakersResponseSchema,
  PauseAllSpeakersResponseSchema,
  PermissionService,
} from "../../../../gen/squelch/v1/permission_service_pb.js";
import type { Change } from "../../../../src/domain/change.js";
import { type ActiveSpeaker, FLOOR_PRIORITIES } from "../../../../src/domain/floor.js";
import { encodeActiveSpeakers } from "../../../../src/server/feed/wire/encodeActiveSpeakers.js";
import { encodeChange } from "../../../../src/server/feed/wire/encodeChange.js";
import { encodeFloor, encodeFloors } from "../../../../src/server/feed/wire/encodeFloors.js";
import { messagesOf } from "../../../../src/server/feed/wire/frame.js";
import { toChangeMessage, toSpeakerFields, toSpeakerPauseMessage } from "../../../../src/server/feed/wire/messages.js";
import { encodeAnswer } from "../../../../src/server/rpc/grpc/encodeAnswer.js";

const text = fc.oneof(fc.string({ unit: "grapheme", maxLength: 200 }), fc.constant(""));
const time = fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 2 ** 45 }));
const speaker: fc.Arbitrary<ActiveSpeaker> = fc.record({
  channelId: text,
  userId: text,
  userName: text,
  startedAtMs: time,
  expiresAtMs: time,
  priority: fc.constantFrom(...FLOOR_PRIORITIES),
});
const speakers = fc.array(speaker, { maxLength: 20 });

it("speakers that are encoded by hand have the bytes of the generated code", () => {
  fc.assert(
    fc.property(speakers, (list) => {
      const messages = list.map(toSpeakerFields);
      const { number } = GetEventActiveSpeakersResponseSchema.field.speakers;
      const generated = toBinary(
        GetEventActiveSpeakersResponseSchema,
        create(GetEventActiveSpeakersResponseSchema, { speakers: messages }),
      );
      expect(encodeActiveSpeakers(number, messages)).toEqual(Buffer.from(generated));
    }),
  );
});

const pause = { pauseId: "p", reason: "r", actor: "a", startedAtMs: 1, expiresAtMs: 2, exemptUserIds: ["x"] };

it("a change about a pause has the bytes of the generated code", () => {
  fc.assert(
    fc.property(speakers, fc.option(text, { nil: undefined }), (cut, replacedPauseId) => {
      const change: Change = {
        ...{ kind: "speakersPaused", revision: 7, timeMs: 1_000, actor: "a" },
        ...{ pause, cut, replacedPauseId },
      };
      const expected = create(EventChangesSchema, { changes: [toChangeMessage(change)] });
      expect(fromBinary(EventChangesSchema, encodeChange(change))).toEqual(expected);
    }),
  );
});

it("floors are read like those of the generated code", () => {
  const floor = fc.record({ speaker: fc.option(speaker, { nil: undefined }), list: speakers, timeMs: time });
  fc.assert(
    fc.property(text, text, floor, (eventId, channelId, { speaker, list, timeMs }) => {
      const at = timeMs > 0 ? { time: timestampFromMs(timeMs) } : {};
      const read = (frame: Buffer) => messagesOf(frame).map((bytes) => fromBinary(WatchChannelsResponseSchema, bytes));
      const holder = speaker && { holder: toSpeakerFields(speaker) };
      expect(read(encodeFloor(eventId, channelId, speaker, timeMs))).toEqual([
        create(WatchChannelsResponseSchema, {
          eventId,
          payload: { case: "changed", value: { channelId, ...holder } },
          ...at,
        }),
      ]);
      expect(read(encodeFloors(eventId, list, timeMs))).toEqual([
        create(WatchChannelsResponseSchema, {
          eventId,
          payload: { case: "snapshot", value: { speakers: list.map(toSpeakerFields) } },
          ...at,
        }),
      ]);
    }),
  );
});

it("answers with speakers are read like those of the generated code", () => {
  const { getEventActiveSpeakers, pauseAllSpeakers } = PermissionService.method;
  fc.assert(
    fc.property(speakers, (list) => {
      const messages = list.map(toSpeakerFields);
      const seen = { speakers: messages, pause: toSpeakerPauseMessage(pause) };
      expect(
        fromBinary(GetEventActiveSpeakersResponseSchema, encodeAnswer(getEventActiveSpeakers, seen) as Buffer),
      ).toEqual(create(GetEventActiveSpeakersResponseSchema, seen));
      const paused = { pause: toSpeakerPauseMessage(pause), paused: messages, revision: 9n, replicated: true };
      expect(fromBinary(PauseAllSpeakersResponseSchema, encodeAnswer(pauseAllSpeakers, paused) as Buffer)).toEqual(
        create(PauseAllSpeakersResponseSchema, paused),
      );
    }),
  );
});
