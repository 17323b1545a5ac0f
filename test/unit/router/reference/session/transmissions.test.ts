import { status } from "@grpc/grpc-js";
import { expect, it, vi } from "vitest";
import { createLogger } from "../../../../../src/lib/logger.js";
import type { RouterContext } from "../../../../../src/router/reference/routerContext.js";
import { type Speaker, Transmissions } from "../../../../../src/router/reference/session/transmissions.js";

const oneTooMany = Object.assign(new Error("too many calls"), { code: status.RESOURCE_EXHAUSTED });
const identity = { userId: "u1", userName: "U1", eventId: "e1", role: "USER", globalRole: "NONE", channelIds: ["a"] };

function createTransmissions(calls: object) {
  const [answers, isPermitted] = [async () => true, () => true];
  const speaker: Speaker = {
    identity,
    sessionId: "s1",
    send: vi.fn(),
    answers,
    isPermitted,
    transmissionEnded: vi.fn(),
  };
  const context = { calls, floorLosses: () => 0, logger: createLogger("test", "silent") };
  return new Transmissions(speaker, context as unknown as RouterContext);
}

it("pitfall 12: a release that exceeds the call limit is tried again, because the lease still stands", async () => {
  vi.useFakeTimers();
  try {
    const grant = { granted: true, leaseId: 7n, startedAtMs: 0, expiresAtMs: 6_000, talkUntilMs: 30_000 };
    const stopPtt = vi.fn().mockRejectedValueOnce(oneTooMany).mockResolvedValue(undefined);
    const transmissions = createTransmissions({ startPtt: async () => grant, stopPtt });
    await transmissions.start("a", "normal");
    await expect(transmissions.stop("a")).rejects.toBe(oneTooMany);
    expect(transmissions.holds("a")).toBe(true);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(stopPtt.mock.calls).toEqual([
      ["a", { leaseId: 7n }],
      ["a", { leaseId: 7n }],
    ]);
    expect(transmissions.holds("a")).toBe(false);
  } finally {
    vi.useRealTimers();
  }
});

it("a place that could not be renewed is given up, so that no user gets the floor without knowing", async () => {
  const queued = { granted: false, place: { queueId: 1n, position: 1, waiting: 1, holder: undefined } };
  const startPtt = vi.fn().mockResolvedValueOnce(queued).mockRejectedValueOnce(oneTooMany);
  const stopPtt = vi.fn().mockResolvedValue(undefined);
  const transmissions = createTransmissions({ startPtt, stopPtt });
  expect(await transmissions.start("a", "normal", true)).toEqual(queued);
  await expect(transmissions.start("a", "normal", true)).rejects.toBe(oneTooMany);
  expect(stopPtt.mock.calls).toEqual([["a", { userId: "u1", sessionId: "s1" }]]);
});
