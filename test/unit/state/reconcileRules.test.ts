import { describe, expect, it } from "vitest";
import { type AssignedEntry, judgeUser } from "../../../src/server/state/reconcileRules.js";
import { digestKey } from "../../../src/server/state/staleKeys.js";

const owners: Record<string, string> = { a: "e1", b: "e1", x: "e2" };
const eventOf = (channelId: string) => owners[channelId];
const entry = (fields: Partial<AssignedEntry> = {}): AssignedEntry => ({
  eventId: "e1",
  channelIds: ["a"],
  isByRpc: false,
  wasKeySeen: true,
  ...fields,
});

describe("judgeUser", () => {
  it("writes the differences between the set and the state, in the set's event only", () => {
    const other = entry({ eventId: "e2", channelIds: ["x"] });
    expect(judgeUser(["b", "a"], eventOf, [entry(), other])).toEqual({
      kind: "write",
      eventId: "e1",
      channelIds: ["a", "b"],
    });
    expect(judgeUser(["a"], eventOf, [entry({ channelIds: ["a", "b"] })])).toMatchObject({ channelIds: ["a"] });
    expect(judgeUser(["a"], eventOf, [])).toMatchObject({ kind: "write", eventId: "e1" });
  });

  it("does not assign a channel without an event because of a set, which may mix two events (G7)", () => {
    expect(judgeUser(["a", "new"], eventOf, [entry()])).toMatchObject({ kind: "ambiguous" });
  });

  it("also writes an unchanged list, so that a late older update cannot undo it (G6)", () => {
    expect(judgeUser(["a"], eventOf, [entry()])).toEqual({ kind: "write", eventId: "e1", channelIds: ["a"] });
    const emptied = { kind: "write", eventId: "e1", channelIds: [] };
    expect(judgeUser([], eventOf, [entry({ channelIds: [] })])).toEqual(emptied);
  });

  it("leaves alone what is newer than the set, until the set changes", () => {
    const revoked = entry({ channelIds: [], staleKey: digestKey(["a"]) });
    expect(judgeUser(["a"], eventOf, [revoked])).toMatchObject({ kind: "ambiguous" });
    expect(judgeUser(["a", "b"], eventOf, [revoked])).toMatchObject({ kind: "write", channelIds: ["a", "b"] });
    const granted = entry({ staleKey: digestKey([]) });
    expect(judgeUser([], eventOf, [granted])).toMatchObject({ kind: "ambiguous" });
    expect(judgeUser(["a"], eventOf, [granted])).toMatchObject({ kind: "write" });
  });

  it("leaves alone what was written over RPC", () => {
    expect(judgeUser(["a", "b"], eventOf, [entry({ isByRpc: true })])).toEqual({ kind: "nothing" });
    expect(judgeUser([], eventOf, [entry({ isByRpc: true })])).toEqual({ kind: "nothing" });
  });

  it("revokes for a missing key only if the key was seen before, in a single event (pitfall 2)", () => {
    expect(judgeUser([], eventOf, [entry()])).toEqual({ kind: "write", eventId: "e1", channelIds: [] });
    expect(judgeUser([], eventOf, [entry({ wasKeySeen: false })])).toMatchObject({ kind: "ambiguous" });
    const other = entry({ eventId: "e2", channelIds: ["x"] });
    expect(judgeUser([], eventOf, [entry(), other])).toMatchObject({ kind: "ambiguous" });
    expect(judgeUser([], eventOf, [entry(), { ...other, channelIds: [] }])).toMatchObject({ kind: "ambiguous" });
    expect(judgeUser([], eventOf, [entry(), { ...other, isByRpc: true }])).toMatchObject({ kind: "ambiguous" });
    expect(judgeUser([], eventOf, [])).toEqual({ kind: "nothing" });
    expect(judgeUser([], eventOf, [entry({ wasKeySeen: false, channelIds: [] })])).toEqual({ kind: "nothing" });
  });

  it("changes nothing if the evidence is not clear", () => {
    expect(judgeUser(["a", "x"], eventOf, [entry()])).toMatchObject({ kind: "ambiguous" });
    expect(judgeUser(["unknown"], eventOf, [entry()])).toMatchObject({ kind: "ambiguous" });
  });
});
