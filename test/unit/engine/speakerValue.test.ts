import fc from "fast-check";
import { expect, it } from "vitest";
import { FLOOR_PRIORITIES, RESERVED_HOLDER } from "../../../src/domain/floor.js";
import { parseSpeaker, parseSpeakers } from "../../../src/engine/redis/stores/speakerValue.js";

const text = fc.oneof(fc.string({ unit: "binary" }), fc.string(), fc.constantFrom("", "u", RESERVED_HOLDER));
const time = fc.oneof(fc.integer(), fc.constantFrom(0, 1_700_000_000_000, 99_999_999_999_999, 1e14, 1e15, 1.5));
const lock = fc.record({ userId: text, userName: text, timestamp: time });
const lease = fc.record({
  ...{ leaseId: time, expiresAt: time, talkUntil: time, leaseMs: time },
  ...{ priority: fc.oneof(fc.constantFrom(...FLOOR_PRIORITIES), text), sessionId: text },
});

it("a value in a known form is read like any other JSON", () => {
  fc.assert(
    fc.property(lock, fc.option(lease, { nil: {} }), (one, other) => {
      const json = JSON.stringify({ ...one, ...other });
      // One space is enough to make the form unknown.
      expect(parseSpeaker("c", json, 7)).toEqual(parseSpeaker("c", ` ${json}`, 7));
    }),
    { numRuns: 2_000 },
  );
});

it("a lease is read completely, and the TTL of its key counts only if it does not contain its end", () => {
  const fields = { userId: "u", userName: "U", timestamp: 1_700_000_000_000 };
  const rest = { talkUntil: 1_700_000_009_000, leaseMs: 6_000, priority: "dispatch", sessionId: "" };
  const value = JSON.stringify({ ...fields, leaseId: 5, expiresAt: 1_700_000_006_000, ...rest });
  const speaker = { channelId: "c", userId: "u", userName: "U", startedAtMs: 1_700_000_000_000 };
  expect(parseSpeaker("c", value, 7)).toEqual({ ...speaker, expiresAtMs: 1_700_000_006_000, priority: "dispatch" });
  expect(parseSpeaker("c", JSON.stringify(fields), 7)).toEqual({ ...speaker, expiresAtMs: 7, priority: "normal" });
});

it("the floors that a pause has cut are ordered by channel, without reserved holders", () => {
  const values = ["a", RESERVED_HOLDER, "b"].map((userId) => JSON.stringify({ userId }));
  const cut = parseSpeakers({ channelIds: ["3", "2", "1"], values });
  expect(cut.map(({ channelId, userId }) => [channelId, userId])).toEqual([
    ["1", "b"],
    ["3", "a"],
  ]);
});
