import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { expect, it } from "vitest";
import {
  EventChangesSchema,
  GetEventActiveSpeakersResponseSchema,
  PauseAllSpeakersResponseSchema,
  PermissionService,
} from "../../gen/squelch/v1/permission_service_pb.js";
import type { Change } from "../../src/domain/change.js";
import { type ActiveSpeaker, FLOOR_PRIORITIES } from "../../src/domain/floor.js";
import { encodeActiveSpeakers } from "../../src/server/feed/encodeActiveSpeakers.js";
import { encodeChange } from "../../src/server/feed/encodeChange.js";
import { toChangeMessage, toSpeakerFields, toSpeakerPauseMessage } from "../../src/server/feed/messages.js";
import { encodeAnswer } from "../../src/server/rpc/encodeAnswer.js";

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

it("speakers are laid out byte for byte as the generated code does it", () => {
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

it("a change that tells of a pause reads as the generated code has it", () => {
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

it("answers with speakers read as the generated code has them", () => {
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
