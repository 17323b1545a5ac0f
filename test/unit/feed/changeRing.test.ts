import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Change } from "../../../src/domain/change.js";
import { ChangeRing, MAX_RING_BYTES, MAX_RING_CHANGES } from "../../../src/server/feed/changeRing.js";
import { encodeChange } from "../../../src/server/feed/wire/encodeChange.js";

function change(revision: number, userId = "u", reason = ""): Change {
  return { revision, timeMs: 1, actor: "a", kind: "userDisconnected", userId, reason };
}

function filled(from: number, to: number): ChangeRing {
  const ring = new ChangeRing();
  ring.reset(from);
  for (let revision = from + 1; revision <= to; revision++) ring.push(change(revision));
  return ring;
}

describe("ChangeRing", () => {
  it("gives exactly the changes after a revision, in order", () => {
    fc.assert(
      fc.property(fc.nat(50), fc.nat(50), fc.nat(50), (start, count, skip) => {
        const ring = filled(start, start + count);
        const after = start + Math.min(skip, count);
        const slice = ring.sliceAfter(after, Number.MAX_SAFE_INTEGER);
        const wanted = Array.from({ length: start + count - after }, (_, index) =>
          encodeChange(change(after + 1 + index)),
        );
        expect(slice.parts).toEqual(wanted);
        expect(slice.revision).toBe(start + count);
        expect(ring.reach).toBe(start);
      }),
    );
  });

  it("drops the oldest changes beyond its bound, and returns how far back it reaches (G8)", () => {
    const ring = filled(0, MAX_RING_CHANGES + 3_000);
    expect(ring.head).toBe(MAX_RING_CHANGES + 3_000);
    expect(ring.reach).toBe(3_000);
    expect(ring.sliceAfter(3_000, 1).parts).toEqual([encodeChange(change(3_001))]);
  });

  it("drops the oldest changes beyond its limit of bytes, but keeps the newest (G8)", () => {
    const ring = new ChangeRing();
    ring.push(change(1));
    ring.push(change(2, "u", "x".repeat(MAX_RING_BYTES)));
    expect(ring.reach).toBe(1);
    ring.push(change(3));
    expect(ring.reach).toBe(2);
  });

  it("fills a message up to its bound, and puts at least one change into it", () => {
    const ring = filled(0, 10);
    const one = encodeChange(change(1)).length;
    expect(ring.sliceAfter(0, 3 * one)).toMatchObject({ revision: 3, bytes: 3 * one });
    expect(ring.sliceAfter(4, 1)).toMatchObject({ revision: 5 });
  });

  it("skips changes of other users, and continues after them (pitfall 27)", () => {
    const ring = new ChangeRing();
    ring.push(change(1, "u"));
    ring.push(change(2, "v"));
    ring.push({ revision: 3, timeMs: 1, actor: "a", kind: "speakersResumed", pauseId: "p", expired: false });
    ring.push(change(4, "v"));
    const slice = ring.sliceAfter(0, 1 << 20, new Set(["u"]));
    expect(slice.parts).toHaveLength(2);
    expect(slice.revision).toBe(4);
  });

  it("is extended back only by changes that end where it begins, as far as there is room", () => {
    const ring = filled(10, 12);
    ring.extendBack([change(7), change(8)]);
    expect(ring.reach).toBe(10);
    ring.extendBack([change(8), change(9), change(10)]);
    expect(ring.reach).toBe(7);
    expect(ring.sliceAfter(7, 1 << 20).parts).toEqual(
      [8, 9, 10, 11, 12].map((revision) => encodeChange(change(revision))),
    );

    const full = filled(MAX_RING_CHANGES, 2 * MAX_RING_CHANGES);
    full.extendBack([change(MAX_RING_CHANGES)]);
    expect(full.reach).toBe(MAX_RING_CHANGES);
  });
});
