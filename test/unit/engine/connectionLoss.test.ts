import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { readErrorReply } from "../../../src/engine/redis/connection/errorReplies.js";
import { RetryDelay } from "../../../src/engine/redis/connection/retryDelay.js";
import { UnfitServer } from "../../../src/engine/redis/connection/unfitServer.js";

describe("a reply that shows that a server is a replica (pitfall 58)", () => {
  it.for([
    "READONLY You can't write against a read only replica.",
    "ERR user_script:141: READONLY You can't write against a read only replica. script: 4e6d8f, on @user_script:141.",
    "READONLY You can't write against a read only replica. script: 4e6d8f, on @user_script:1.",
    "ERR Error running script (call to f_4e6d8f): @user_script:141: -READONLY You can't write against a read only replica.",
  ])("is recognized wherever its code is in the text: %s", (message) => {
    expect(readErrorReply(message).code).toBe("READONLY");
  });

  it.for([
    "OOM command not allowed when used memory > 'maxmemory'.",
    "ERR user_script:1: WRONGTYPE Operation against a key holding the wrong kind of value",
    "ERR unknown command 'READONLYX', with args beginning with: 'READONLY'",
    "The connection is READONLY",
  ])("is not taken for one: %s", (message) => {
    expect(readErrorReply(message).code).not.toBe("READONLY");
  });
});

describe("the wait before a connection is reopened", () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ["performance"] }));
  afterEach(() => void vi.useRealTimers());

  it("grows with each failure while no successor is elected", () => {
    const delay = new RetryDelay(true);
    for (const stepMs of [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]) {
      delay.noteError(new Error("connect ECONNREFUSED"));
      const waitMs = delay.nextMs();
      expect(waitMs).toBeGreaterThanOrEqual(0.75 * stepMs);
      expect(waitMs).toBeLessThanOrEqual(stepMs);
    }
  });

  it("stays a second while the server rejects the connection with an error reply", () => {
    const delay = new RetryDelay(true);
    for (let times = 0; times < 10; times++) {
      delay.noteError(Object.assign(new Error("WRONGPASS invalid username-password pair"), { name: "ReplyError" }));
      delay.noteError(new Error("read ECONNRESET"));
      expect(delay.nextMs()).toBeLessThanOrEqual(1_000);
    }
    delay.noteError(new Error("connect ECONNREFUSED"));
    delay.nextMs();
    delay.noteError(new Error("connect ECONNREFUSED"));
    expect(delay.nextMs()).toBeGreaterThanOrEqual(1_500);
  });

  it("is none after an orderly close of a connection that stood for a second (pitfall 59), once", () => {
    const delay = new RetryDelay(true);
    delay.noteReady();
    vi.advanceTimersByTime(1_000);
    expect(delay.nextMs()).toBe(0);
    expect(delay.nextMs()).toBeGreaterThanOrEqual(750);
  });

  it("is a back-off after an error, and after a connection that was open for less", () => {
    const delay = new RetryDelay(true);
    delay.noteReady();
    vi.advanceTimersByTime(1_000);
    delay.noteError(new Error("read ECONNRESET"));
    expect(delay.nextMs()).toBeGreaterThanOrEqual(750);
    delay.noteReady();
    vi.advanceTimersByTime(999);
    expect(delay.nextMs()).toBeGreaterThanOrEqual(750);
  });

  it("is 0 if Squelch closed the connection, and 500 ms each time the name leads to a replica", () => {
    const delay = new RetryDelay(true);
    delay.noteReady();
    delay.noteLeave();
    expect(delay.nextMs()).toBe(0);
    for (let times = 0; times < 10; times++) {
      delay.noteError(new UnfitServer("replica", "a replica"));
      expect(delay.nextMs()).toBe(500);
    }
  });
});
