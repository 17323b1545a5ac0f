import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Position } from "../../../src/domain/cursor.js";
import { SquelchError } from "../../../src/domain/errors.js";
import type { Engine } from "../../../src/domain/ports/engine.js";
import type { MembershipUpdate } from "../../../src/domain/ports/membershipStore.js";
import { toStoreError } from "../../../src/engine/redis/connection/connections.js";
import { createLogger } from "../../../src/lib/logger.js";
import { Ingest } from "../../../src/server/state/ingest.js";
import { digestKey } from "../../../src/server/state/staleKeys.js";

const reply = (message: string) => Object.assign(new Error(message), { name: "ReplyError" });
const full = () => toStoreError(reply("ERR user_script:141: OOM command not allowed script: x"));
const unknown = () => toStoreError(reply("NEWCODE never seen"));
const wrongType = () => toStoreError(reply("WRONGTYPE Operation against a key holding the wrong kind of value"));
const timedOut = () => toStoreError(new Error("Command timed out"));

describe("Ingest", () => {
  /** The updates that the store has judged, in order, by event. */
  let judged: Record<string, string[]>;
  /** The positions of what the store judged, in order. */
  let positions: Position[];
  /** What the store answers to a batch instead of judging it. */
  let failure: (eventId: string, updates: readonly MembershipUpdate[]) => unknown;
  let reopened: number;
  let reconciles: number;
  let ingest: Ingest;
  let generation: number;
  let isRefused: boolean;
  /** The control plane's sets, by user. */
  let sets: Record<string, string[]>;
  /** The marks of what the store judged, in order. */
  let staleKeys: (string | undefined)[];

  beforeEach(() => {
    vi.useFakeTimers();
    judged = {};
    positions = [];
    staleKeys = [];
    failure = () => undefined;
    reopened = 0;
    reconciles = 0;
    generation = 0;
    const engine = {
      async applyMemberships(eventId: string, updates: readonly MembershipUpdate[]) {
        const error = failure(eventId, updates);
        if (error !== undefined) throw error;
        judged[eventId] = [...(judged[eventId] ?? []), ...updates.map(({ userId, action }) => `${userId} ${action}`)];
        positions.push(...updates.map(({ position }) => position));
        staleKeys.push(...updates.map(({ staleKey }) => staleKey));
        return updates.map(() => ({ status: "changed", foreignChannelIds: [] }));
      },
    } as unknown as Engine;
    isRefused = false;
    sets = {};
    const source = {
      reopen: () => void reopened++,
      requestReconcile: () => void reconciles++,
      isRefused: () => isRefused,
      readAssignedChannels: async (userIds: readonly string[]) => userIds.map((userId) => sets[userId] ?? []),
    };
    ingest = new Ingest(engine, source, createLogger("test", "silent"));
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
  ])("keeps each update in its order while the store is %s, and continues soon after", async (_, error) => {
    failure = (eventId) => (eventId === "e1" ? error() : undefined);
    for (let update = 0; update < 150; update++) accept("e1", `u${update % 7}`, `${update}`);
    accept("e2", "u", "other");
    ingest.acceptTicket(++generation);
    await vi.advanceTimersByTimeAsync(30_000);
    expect(judged).toEqual({ e2: ["u other"] });
    expect(ingest.queued().updates).toBe(150);
    // The watermark must not pass waiting updates.
    expect(ingest.appliedThrough()).toBeUndefined();
    failure = () => undefined;
    await vi.advanceTimersByTimeAsync(2_000);
    expect(judged.e1).toEqual(Array.from({ length: 150 }, (__, update) => `u${update % 7} ${update}`));
    expect(ingest.appliedThrough()).toBe(generation);
    expect(ingest.counts).toMatchObject({ applied: 151, dropped: 0 });
  });

  it("requests a reconcile after a refusal, not after a lost connection", async () => {
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

  it("reports why updates have been waiting for long, but not for a defect, which concerns one user", async () => {
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

  it("does not let the watermark pass updates that still wait at the stop", async () => {
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

  it("gives updates that came before the first ticket a place between that ticket and every earlier one (G6)", async () => {
    ingest.interrupt();
    const early = (userId: string, action: string) => ingest.acceptEarly("e1", { userId, channelIds: [], action });
    early("u1", "first");
    early("u2", "first");
    early("u1", "second");
    await vi.advanceTimersByTimeAsync(30_000);
    expect(judged).toEqual({});
    generation += 7;
    ingest.acceptTicket(generation);
    accept("e1", "u2", "second");
    await vi.advanceTimersByTimeAsync(0);
    expect(judged.e1).toEqual(["u2 first", "u1 second", "u2 second"]);
    const [before, ...others] = positions.slice(0, 2);
    expect(before?.generation).toBe(generation - 1);
    // The last message that another replica may have counted after the earlier ticket comes before it.
    expect(before?.count).toBeGreaterThan(1e12);
    expect(others).toEqual([before]);
    expect(ingest.openedAt).toBe(generation);
    expect(ingest.appliedThrough()).toBe(generation);
  });

  it("counts early updates as unplaced if the subscription ends without a ticket, or too many wait", async () => {
    ingest.interrupt();
    for (let user = 0; user < 10_001; user++)
      ingest.acceptEarly("e1", { userId: `u${user}`, channelIds: [], action: "a" });
    expect(ingest.counts.unplaced).toBe(1);
    ingest.interrupt();
    ingest.acceptTicket(++generation);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(judged).toEqual({});
    expect(ingest.counts.unplaced).toBe(10_001);
  });

  it("lets a reconcile wait until everything that was published before its ticket is applied", async () => {
    vi.useRealTimers();
    const { signal } = new AbortController();
    failure = full;
    accept("e1", "anna", "waits");
    ingest.acceptTicket(++generation);
    accept("e1", "ben", "later");
    await ingest.awaitApplied(generation, signal, ["ben"]);
    let isApplied = false;
    const applied = ingest.awaitApplied(generation, signal).then(() => {
      isApplied = true;
    });
    await sleep(100);
    expect(isApplied).toBe(false);
    failure = () => undefined;
    ingest.retry();
    await applied;
    expect(judged.e1?.[0]).toBe("anna waits");
    failure = full;
    accept("e1", "anna", "waits");
    const waiting = ingest.awaitApplied(generation + 1, signal);
    ingest.acceptTicket(++generation);
    await expect(waiting).rejects.toMatchObject({ code: "unavailable" });
  });

  it("marks a set that the control plane could not write before it published the update", async () => {
    sets = { anna: ["a", "b"], ben: ["a"] };
    const publish = (userId: string, channelIds: string[]) =>
      ingest.accept("e1", { userId, channelIds, action: "a" }, { generation, count: 1 });
    const judgedMarks = async () => {
      await vi.advanceTimersByTimeAsync(2_000);
      return staleKeys.splice(0);
    };
    publish("anna", []);
    expect(await judgedMarks()).toEqual([undefined]);
    isRefused = true;
    publish("anna", []);
    publish("ben", ["a"]);
    expect(await judgedMarks()).toEqual([digestKey(["b", "a"]), undefined]);
    isRefused = false;
    failure = full;
    publish("anna", ["a"]);
    await vi.advanceTimersByTimeAsync(100);
    failure = () => undefined;
    expect(await judgedMarks()).toEqual([digestKey(["a", "b"])]);
    // The set may be newer than the update, because later updates may have been missed.
    isRefused = true;
    failure = full;
    publish("anna", []);
    await vi.advanceTimersByTimeAsync(100);
    ingest.interrupt();
    failure = () => undefined;
    expect(await judgedMarks()).toEqual([undefined]);
  });

  it("takes an error without a code for one to try again", () => {
    expect(unknown()).toBeInstanceOf(SquelchError);
    expect(wrongType()).not.toBeInstanceOf(SquelchError);
  });
});
