import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { toUserName } from "../../../../src/router/reference/userName.js";

describe("pitfall 38: the name of a client", () => {
  it.each([
    ["Anna", "Anna"],
    [" Anna\nB.\t", "Anna B."],
    ["\u202eAnna\u2066", "Anna"],
    ["가".repeat(43), "가".repeat(42)],
    [`${"x".repeat(127)}é`, "x".repeat(127)],
    [`${"x".repeat(110)}👩‍🚒👩‍🚒`, `${"x".repeat(110)}👩‍🚒`],
    [`${"x".repeat(127)}e\u0301`, "x".repeat(127)],
    [`e${"\u0301".repeat(100)}`, "u1"],
    ["", "u1"],
    ["\u0000", "u1"],
  ])("of %j is %j", (claim, name) => {
    expect(toUserName(claim, "u1")).toBe(name);
  });

  it.each([undefined, null, 7, true, {}, ["Anna"]])("is the user id for %j", (claim) => {
    expect(toUserName(claim, "u1")).toBe("u1");
  });

  it("is a valid text of at most 128 bytes for every claim", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 200 }), (claim) => {
        const name = toUserName(claim, "u1");
        expect(Buffer.byteLength(name)).toBeLessThanOrEqual(128);
        expect(name).not.toMatch(/[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\p{Bidi_Control}]/u);
        expect(name).not.toBe("");
      }),
    );
  });
});
