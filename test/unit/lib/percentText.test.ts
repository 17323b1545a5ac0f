import fc from "fast-check";
import { expect, it } from "vitest";
import { decodePercent, encodePercent } from "../../../src/lib/percentText.js";

it("encodes what is not printable ASCII, as grpc-message is", () => {
  expect(encodePercent("cli:anna 1")).toBe("cli:anna 1");
  expect(encodePercent("김")).toBe("%EA%B9%80");
  expect(encodePercent(" 100% ")).toBe("%20100%25%20");
});

it("decodes what it has encoded, and is printable ASCII on the way", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), (text) => {
      const encoded = encodePercent(text);
      expect(encoded).toMatch(/^[\x20-\x7e]*$/);
      expect(decodePercent(encoded)).toBe(text);
    }),
  );
});

it("keeps a percent sign that begins no code, and refuses bytes that are not UTF-8", () => {
  expect(decodePercent("50% of %zz")).toBe("50% of %zz");
  expect(() => decodePercent("%FF")).toThrow(TypeError);
});
