import { InvalidArgumentError } from "commander";
import { describe, expect, it } from "vitest";
import { formatDuration, parseDurationText, parsePositiveDuration } from "../../../src/cli/output/duration.js";

describe("a duration on the command line", () => {
  it.each([
    ["0", 0],
    ["500ms", 500],
    ["60s", 60_000],
    ["1.5s", 1_500],
    ["2m", 120_000],
    ["1h", 3_600_000],
  ])("%s is %i ms", (text, ms) => {
    expect(parseDurationText(text)).toBe(ms);
  });

  it.each(["", "60", "-1s", "1d", "s", "1 s", "1e3s", "Infinity", "0x10s", "99999999999999999h", "0.4ms", "0.0001s"])(
    "%j is refused, and the error lists the valid forms",
    (text) => {
      expect(() => parseDurationText(text)).toThrow(InvalidArgumentError);
      expect(() => parseDurationText(text)).toThrow(/500ms, 60s, 2m, 1h/);
    },
  );

  it("may be 0 only for an option where 0 has a meaning", () => {
    expect(() => parsePositiveDuration("0")).toThrow("above 0");
    expect(parsePositiveDuration("1ms")).toBe(1);
  });

  it.each([0, 1, 999, 1_000, 1_500, 60_000, 90_000, 3_600_000])(
    "%i ms is printed in a form that can be read again",
    (ms) => {
      expect(parseDurationText(formatDuration(ms))).toBe(ms);
    },
  );

  it("is printed in the largest unit that fits", () => {
    expect([5_000, 1_500, 120_000, 7_200_000].map(formatDuration)).toEqual(["5s", "1500ms", "2m", "2h"]);
  });
});
