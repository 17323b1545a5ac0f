import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { SquelchError } from "../../../src/domain/errors.js";
import type { Caller } from "../../../src/server/rpc/callContext.js";
import { OngoingCall } from "../../../src/server/rpc/ongoingCall.js";
import type { Endings } from "../../../src/server/rpc/shutdown.js";
import { CallCancelled } from "../../../src/server/rpc/status.js";

const caller = { head: { callId: "r1" }, identity: { name: "anna" } } as Caller;
const never = () => new Promise<never>(() => undefined);

let endings: Endings;
beforeEach(() => {
  vi.useFakeTimers();
  endings = new Set();
});
afterEach(() => {
  vi.useRealTimers();
});

const callFor = (clientWaitsMs: number) => new OngoingCall(caller, clientWaitsMs, endings);

describe("the time of a call", () => {
  it.each([
    { clientWaitsMs: Number.POSITIVE_INFINITY, endsAfterMs: 2_000 },
    { clientWaitsMs: 10_000, endsAfterMs: 2_000 },
    { clientWaitsMs: 1_500, endsAfterMs: 1_400 },
    { clientWaitsMs: 100, endsAfterMs: 90 },
  ])("is 2 s, less if the client gives up earlier: %o", async ({ clientWaitsMs, endsAfterMs }) => {
    const call = callFor(clientWaitsMs);
    const { signal } = call;
    call.startTimer(2_000);
    const failed = expect(call.run(never)).rejects.toMatchObject({
      code: "unavailable",
      message: expect.stringContaining("outcome is unknown"),
    });
    await vi.advanceTimersByTimeAsync(endsAfterMs - 1);
    expect(signal.aborted).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    expect(signal.aborted).toBe(true);
    await failed;
    expect(vi.getTimerCount()).toBe(0);
  });

  it("leaves time for the answer to arrive, with and without a client deadline", () => {
    const answersWithinMs = (clientWaitsMs: number) => {
      const call = callFor(clientWaitsMs);
      call.startTimer(65_000);
      return call.answerBeforeMs - performance.now();
    };
    expect(answersWithinMs(Number.POSITIVE_INFINITY)).toBe(64_700);
    expect(answersWithinMs(10_000)).toBe(9_700);
    expect(answersWithinMs(400)).toBe(300);
  });
});

describe("the signal of a call", () => {
  it("is aborted with the first reason for which the call ends early", async () => {
    const call = callFor(1_000);
    const { signal } = call;
    const run = call.run(never);
    const reason = new CallCancelled();
    call.end(reason);
    call.end(new SquelchError("unavailable", "too late"));
    await expect(run).rejects.toBe(reason);
    expect(signal.reason).toBe(reason);
  });

  it("is aborted when the call was answered, so that no work for it continues", async () => {
    const call = callFor(1_000);
    const { signal } = call;
    expect(await call.run(async () => "answer")).toBe("answer");
    expect(signal.aborted).toBe(true);
    expect(endings.size).toBe(0);
  });

  it("is aborted already if it is first read after the end", () => {
    const call = callFor(1_000);
    const reason = new CallCancelled();
    call.end(reason);
    expect(call.signal.reason).toBe(reason);
    expect(endings.size).toBe(0);
  });
});

describe("a shutdown", () => {
  it("ends a call that reads its signal, and lets other calls finish", async () => {
    const [waiting, short] = [callFor(1_000), callFor(1_000)];
    const waits = waiting.run(async () => {
      const { signal } = waiting;
      return await new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    });
    let finish: (answer: string) => void = () => undefined;
    const finishes = short.run(() => new Promise<string>((resolve) => (finish = resolve)));
    const error = new SquelchError("unavailable", "the replica is shutting down");
    for (const end of endings) end(error);
    await expect(waits).rejects.toBe(error);
    finish("answer");
    expect(await finishes).toBe("answer");
  });
});

it("a call that was cancelled before its work begins does no work", async () => {
  const call = callFor(1_000);
  call.end(new CallCancelled());
  const work = vi.fn(never);
  await expect(call.run(work)).rejects.toBeInstanceOf(CallCancelled);
  expect(work).not.toHaveBeenCalled();
});
