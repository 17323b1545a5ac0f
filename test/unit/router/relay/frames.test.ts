import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  cutCloseReason,
  emergencyFrame,
  errorFrame,
  FrameError,
  parseClientFrame,
  permissionUpdateFrame,
  pttDeniedReply,
  replyFrame,
} from "../../../../src/router/relay/frames.js";

describe("client frames", () => {
  it("are read with id and channel, which may be numbers", () => {
    expect(parseClientFrame('{"type":"ptt-start","id":"m1","data":{"channelId":7}}')).toEqual({
      type: "ptt-start",
      id: "m1",
      channelId: "7",
    });
    expect(parseClientFrame('{"type":"ping","id":3}')).toEqual({ type: "ping", id: 3 });
  });

  it("contain the duration of an emergency broadcast, or leave it out", () => {
    expect(parseClientFrame('{"type":"emergency-broadcast-start","data":{"holdDuration":2500}}')).toEqual({
      type: "emergency-broadcast-start",
      holdDurationMs: 2500,
    });
    expect(parseClientFrame('{"type":"emergency-broadcast-start"}')).toEqual({ type: "emergency-broadcast-start" });
    for (const holdDuration of ["-1", "1.5", '"2000"', "1e300"]) {
      const text = `{"type":"emergency-broadcast-start","data":{"holdDuration":${holdDuration}}}`;
      expect(() => parseClientFrame(text)).toThrow("holdDuration");
    }
  });

  it.each([
    ["not JSON", "{"],
    ["an array", "[]"],
    ["null", "null"],
    ["no type", "{}"],
    ["a type of its own", '{"type":"constructor"}'],
    ["no channel", '{"type":"join-channel"}'],
    ["an empty channel", '{"type":"join-channel","data":{"channelId":""}}'],
    ["a forbidden channel", '{"type":"join-channel","data":{"channelId":"a{b"}}'],
    ["a channel that is an object", '{"type":"join-channel","data":{"channelId":{}}}'],
  ])("are refused: %s", (_what, text) => {
    expect(() => parseClientFrame(text)).toThrow(FrameError);
  });

  it("are never anything but a frame or a FrameError", () => {
    const parse = (text: string) => {
      try {
        parseClientFrame(text);
      } catch (error) {
        expect(error).toBeInstanceOf(FrameError);
      }
    };
    fc.assert(fc.property(fc.oneof(fc.string(), fc.json()), parse));
  });

  it("keep their id if only the rest is wrong", () => {
    const parse = () => parseClientFrame('{"type":"nonsense","id":"m9"}');
    expect(parse).toThrow(expect.objectContaining({ id: "m9" }));
  });
});

describe("server frames", () => {
  it("pitfall 9: a permission update carries every field that any client reads", () => {
    const change = {
      eventId: "e1",
      userId: "u1",
      channelIds: ["a", "b"],
      added: ["b"],
      removed: ["c"],
      action: "set_user_channels",
      revision: 7,
    };
    expect(JSON.parse(permissionUpdateFrame(change))).toEqual({
      type: "permission-update",
      data: {
        eventId: "e1",
        channelIds: ["a", "b"],
        channels: ["a", "b"],
        added: ["b"],
        removed: ["c"],
        action: "set_user_channels",
        revision: 7,
      },
    });
  });

  it("reply as channel-state with the request's id; a denial has an error text too", () => {
    expect(JSON.parse(replyFrame("m1", { success: true }))).toEqual({
      type: "channel-state",
      id: "m1",
      data: { success: true },
    });
    const denial = { channelId: "a", cause: "anotherHasPermission", message: "Ben is speaking" } as const;
    const holder = { userId: "u2", userName: "Ben" };
    expect(JSON.parse(pttDeniedReply("m2", { ...denial, holder }))).toEqual({
      type: "channel-state",
      id: "m2",
      data: { success: false, denied: true, currentSpeaker: "u2", currentSpeakerName: "Ben" },
      error: "Ben is speaking",
    });
    expect(JSON.parse(errorFrame(undefined, "no"))).toEqual({ type: "error", error: "no" });
  });

  it("name the broadcaster of an emergency, or the user who paused", () => {
    const pause = { pauseId: "p", reason: "", actor: "cli:ann", startedAtMs: 1, expiresAtMs: 2, exemptUserIds: [] };
    const broadcaster = { userId: "d1", userName: "Dora" };
    expect(JSON.parse(emergencyFrame("start", { ...pause, broadcaster }, "a"))).toEqual({
      type: "emergency-broadcast-start",
      data: { dispatchUserId: "d1", dispatchUserName: "Dora", channelId: "a" },
    });
    expect(JSON.parse(emergencyFrame("stop", pause, null)).data).toEqual({
      dispatchUserId: "cli:ann",
      dispatchUserName: "cli:ann",
      channelId: null,
    });
  });

  it("pitfall 23: a close reason of any text fits a close frame and is valid UTF-8", () => {
    const decoder = new TextDecoder("utf-8", { fatal: true });
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 150 }), (reason) => {
        const bytes = Buffer.from(cutCloseReason(reason));
        expect(bytes.length).toBeLessThanOrEqual(123);
        expect(Buffer.from(reason).toString().startsWith(decoder.decode(bytes))).toBe(true);
      }),
    );
    expect(cutCloseReason(`${"x".repeat(122)}é`)).toBe("x".repeat(122));
    expect(cutCloseReason("x".repeat(123))).toBe("x".repeat(123));
    expect(cutCloseReason(`${"x".repeat(120)}🚒`)).toBe("x".repeat(120));
  });
});
