import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { SquelchError } from "../../../src/domain/errors.js";
import type { Engine } from "../../../src/domain/ports/engine.js";
import type { MembershipUpdate } from "../../../src/domain/ports/membershipStore.js";
import { toStoreError } from "../../../src/engine/redis/connection/connections.js";
import { createLogger } from "../../../src/lib/logger.js";
import { Ingest } from "../../../src/server/state/ingest.js";

const reply = (message: string) => Object.assign(new Error(message), { name: "ReplyError" });
const full = () => toStoreError(reply("ERR user_script:141: OOM command not allowed script: x"));
const unknown = () => toStoreError(reply("NEWCODE never seen"));
const wrongType = () => toStoreError(reply("WRONGTYPE Operation against a key holding the wrong kind of value"));
const timedOut = () => toStoreError(new Error("Command timed out"));

describe("Ingest", () => {
  /** What the store judged, in order, by event. */
  let judged: Record<string, string[]>;
  /** What the store answers to a batch instead of judging it. */
  let failure: (eventId: string, updates: readonly MembershipUpdate[]) => unknown;
  let reopened: number;
  let reconciles: number;
  let ingest: Ingest;
  let generation: number;

  beforeEach(() => {
    vi.useFakeTimers();
    judged = {};
    failure = () => undefined;
    reopened = 0;
    reconciles = 0;
    generation = 0;
    const engine = {
      async applyMemberships(eventId: string, updates: readonly MembershipUpdate[]) {
        const error = failure(eventId, updates);
        if (error !== undefined) throw error;
        judged[eventId] = [...(judged[eventId] ?? []), ...updates.map(({ userId, action }) => `${userId} ${action}`)];
        return updates.map(() => ({ status: "changed", foreignChannelIds: [] }));
      },
    } as unknown as Engine;
    ingest = new Ingest(
      engine,
      () => void reopened++,
      () => void reconciles++,
      createLogger("test", "silent"),
    );
    ingest.acceptTicket(++generation);
  });
  afterEach(() => {
    ingest.stop();
    vi.useRealTimers();
  });

  const accept = (eventId: string, userId: string, action: string) =>
    ingest.accept(eventId, { userId, channelIds: [], action }, { generation, count: 1 });

  it.each([
    ["full", full],
    ["of an unknown error", unknown],
    ["silent", timedOut],
  ])("keeps each update in its order while the store is %s, and goes on soon after", async (_, error) => {
    failure = (eventId) => (eventId === "e1" ? error() : undefined);
    for (let update = 0; update < 150; update++) accept("e1", `u${update % 7}`, `${update}`);
    accept("e2", "u", "other");
    ingest.acceptTicket(++generation);
    await vi.advanceTimersByTimeAsync(30_000);
    expect(judged).toEqual({ e2: ["u other"] });
    expect(ingest.queued().updates).toBe(150);
    // The watermark must not pass what waits.
    expect(ingest.appliedThrough()).toBeUndefined();
    failure = () => undefined;
    await vi.advanceTimersByTimeAsync(2_000);
    expect(judged.e1).toEqual(Array.from({ length: 150 }, (__, update) => `u${update % 7} ${update}`));
    expect(ingest.appliedThrough()).toBe(generation);
    expect(ingest.counts).toMatchObject({ applied: 151, dropped: 0 });
  });

  it("asks for a reconcile after a refusal, not after a connection that was lost", async () => {
    for (const [error, expected] of [
      [timedOut, 0],
      [full, 1],
    ] as const) {
      failure = error;
      accept("e1", "u", "1");
      await vi.advanceTimersByTimeAsync(100);
      failure = () => undefined;
      await vi.advanceTimersByTimeAsync(2_000);
      expect(reconciles).toBe(expected);
    }
  });

  it("says why updates wait once that lasts, but not of a defect, which concerns one user", async () => {
    failure = (eventId) => (eventId === "e1" ? full() : wrongType());
    accept("e2", "u", "1");
    await vi.advanceTimersByTimeAsync(10_000);
    expect(ingest.problem()).toBeUndefined();
    accept("e1", "u", "1");
    await vi.advanceTimersByTimeAsync(2_000);
    expect(ingest.problem()).toBeUndefined();
    await vi.advanceTimersByTimeAsync(2_000);
    expect(ingest.problem()).toContain("Redis is full (OOM)");
    failure = () => undefined;
    await vi.advanceTimersByTimeAsync(2_000);
    expect(ingest.problem()).toBeUndefined();
  });

  it("lets a defect of one update delay only its own user, and never drops that update", async () => {
    failure = (_, updates) => (updates.some(({ userId }) => userId === "bad") ? wrongType() : undefined);
    for (const userId of ["u1", "bad", "u2", "bad", "u3"]) accept("e1", userId, "first");
    ingest.acceptTicket(++generation);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(judged.e1).toEqual(["u1 first", "u2 first", "u3 first"]);
    accept("e1", "u1", "second");
    await vi.advanceTimersByTimeAsync(2_000);
    expect(judged.e1?.at(-1)).toBe("u1 second");
    expect(ingest.queued().updates).toBe(2);
    expect(ingest.appliedThrough()).toBeUndefined();
    failure = () => undefined;
    await vi.advanceTimersByTimeAsync(2_000);
    expect(judged.e1?.slice(4)).toEqual(["bad first", "bad first"]);
    expect(ingest.appliedThrough()).toBe(generation);
    expect(ingest.counts.dropped).toBe(0);
  });

  it("reopens the subscription when the queue is full, so that the gap is reconciled", async () => {
    failure = full;
    for (let update = 0; update < 10_000; update++) accept("e1", "u", `${update}`);
    expect([reopened, ingest.openedAt]).toEqual([0, generation]);
    accept("e1", "u", "too many");
    accept("e1", "u", "too many");
    expect([reopened, ingest.openedAt, ingest.appliedThrough()]).toEqual([1, undefined, undefined]);
    expect(ingest.counts.dropped).toBe(2);
  });

  it("does not let the watermark pass what still waits at the stop", async () => {
    failure = full;
    accept("e1", "u", "1");
    ingest.acceptTicket(++generation);
    await vi.advanceTimersByTimeAsync(1_000);
    ingest.stop();
    failure = () => undefined;
    await vi.advanceTimersByTimeAsync(10_000);
    expect(judged).toEqual({});
    expect(ingest.appliedThrough()).toBeUndefined();
    expect(ingest.counts.dropped).toBe(1);
  });

  it("takes an error without a code for one to try again", () => {
    expect(unknown()).toBeInstanceOf(SquelchError);
    expect(wrongType()).not.toBeInstanceOf(SquelchError);
  });
});
