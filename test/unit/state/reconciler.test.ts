import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { SquelchError } from "../../../src/domain/errors.js";
import type { Engine } from "../../../src/domain/ports/engine.js";
import type { ControlPlane } from "../../../src/engine/redis/ingest/controlPlane.js";
import { createLogger } from "../../../src/lib/logger.js";
import { reconcile } from "../../../src/server/state/reconcile.js";
import { Reconciler } from "../../../src/server/state/reconciler.js";

describe("Reconciler", () => {
  let isReachable: boolean;
  let tickets: number;
  let closedGaps: [id: string, to: number][];
  let asked: (readonly string[] | undefined)[];
  let openedAt: number | undefined;
  /** The answers to claims; `claimed` when there are none. */
  let claims: ("claimed" | "wait" | "done")[];
  let completed: number[];
  let reconciler: Reconciler;
  let engine: Engine;

  beforeEach(() => {
    vi.useFakeTimers();
    isReachable = true;
    tickets = 0;
    closedGaps = [];
    asked = [];
    claims = [];
    completed = [];
    openedAt = 7;
    const controlPlane: ControlPlane = {
      takeTicket: async () => ++tickets,
      raiseWatermark: async () => 0,
      async openWatermark() {
        if (!isReachable) throw new SquelchError("unavailable", "Redis cannot be reached; try again");
        return "w1";
      },
      newestTicket: () => 5,
      claimReconcile: async () => claims.shift() ?? "claimed",
      noteReconciled: async (ticket) => void completed.push(ticket),
      closeGap: async (id, to) => void closedGaps.push([id, to]),
      listUsers: async () => [],
      readAssignedChannels: async (userIds) => userIds.map(() => []),
      async readEntries(_eventId, userIds) {
        asked.push(userIds);
        return [];
      },
      readChannelEvents: async () => [],
    };
    engine = { listEvents: async () => ["e1"] } as unknown as Engine;
    const ingest = {
      get openedAt() {
        return openedAt;
      },
      awaitApplied: async () => undefined,
    };
    reconciler = new Reconciler(engine, controlPlane, ingest, createLogger("test", "silent"));
  });
  afterEach(() => {
    reconciler.stop();
    vi.useRealTimers();
  });

  it("closes the gap before the unbroken subscription, if there is one", async () => {
    await reconciler.run();
    expect(closedGaps).toEqual([["w1", 7]]);
    openedAt = undefined;
    await reconciler.run();
    expect(closedGaps).toHaveLength(1);
  });

  it("serves the requests of one second with one reconcile, and is due until then", async () => {
    reconciler.request();
    reconciler.request();
    expect(reconciler.isDue).toBe(true);
    expect(tickets).toBe(0);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(tickets).toBe(1);
    expect(reconciler.isDue).toBe(false);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(tickets).toBe(1);
  });

  it("leaves a requested reconcile to a replica that has claimed it, unless that one does not complete it", async () => {
    claims = ["wait", "wait", "done"];
    reconciler.request();
    await vi.advanceTimersByTimeAsync(2_500);
    expect(reconciler.isDue).toBe(true);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(reconciler.isDue).toBe(false);
    expect(completed).toEqual([]);
    claims = ["wait", "claimed"];
    reconciler.request();
    await vi.advanceTimersByTimeAsync(2_000);
    expect(reconciler.isDue).toBe(false);
    expect(completed).toEqual([1]);
  });

  it("repeats a requested reconcile until it succeeds", async () => {
    isReachable = false;
    reconciler.request();
    await vi.advanceTimersByTimeAsync(3_500);
    expect(reconciler.isDue).toBe(true);
    isReachable = true;
    await vi.advanceTimersByTimeAsync(1_000);
    expect(reconciler.isDue).toBe(false);
    expect(tickets).toBe(1);
  });

  it("begins no requested reconcile after it was stopped", async () => {
    reconciler.request();
    reconciler.stop();
    reconciler.request();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(tickets).toBe(0);
  });

  it("stops when its only caller gives up, and does not count as failed", async () => {
    const calling = new AbortController();
    const reason = new SquelchError("unavailable", "the replica is shutting down");
    vi.spyOn(engine, "listEvents").mockImplementation(async () => {
      calling.abort(reason);
      return ["e1", "e2"];
    });
    await expect(reconciler.run(calling.signal)).rejects.toBe(reason);
    await vi.waitFor(() => expect(reconciler.isRunning).toBe(false));
    expect(asked).toEqual([]);
    expect(closedGaps).toEqual([]);
    expect(reconciler.counts).toMatchObject({ done: 0, failed: 0 });
  });

  it("continues when one of its callers gives up", async () => {
    const calling = new AbortController();
    const given = reconciler.run(calling.signal);
    const kept = reconciler.run();
    calling.abort(new SquelchError("unavailable", "gone"));
    await expect(given).rejects.toThrow("gone");
    await kept;
    expect(asked).toHaveLength(1);
    expect(reconciler.counts.done).toBe(1);
  });

  it("compares users that are requested at the same time together", async () => {
    const all = ["u1", "u2", "u1"].map((userId) => reconciler.runForUser(userId));
    await vi.advanceTimersByTimeAsync(1_000);
    await Promise.all(all);
    expect(asked).toEqual([["u1", "u2"]]);
    expect(tickets).toBe(1);
    expect(closedGaps).toEqual([]);
  });
});

describe("reconcile", () => {
  it("writes all other events if the store fails to write one, and then fails", async () => {
    const written: string[] = [];
    const engine = {
      listEvents: async () => [],
      async applyMemberships(eventId: string) {
        if (eventId === "e-a") throw new Error("WRONGTYPE");
        written.push(eventId);
        return [{ status: "changed" }];
      },
    } as unknown as Engine;
    const controlPlane = {
      takeTicket: async () => 1,
      listUsers: async () => ["a", "b"],
      readAssignedChannels: async (userIds: readonly string[]) => userIds.map((userId) => [userId]),
      readChannelEvents: async (channelIds: readonly string[]) => channelIds.map((channelId) => `e-${channelId}`),
    } as unknown as ControlPlane;
    const { signal } = new AbortController();
    const options = {
      awaitApplied: async () => undefined,
      onAmbiguous: () => undefined,
      onOverLimit: () => undefined,
      signal,
    };
    await expect(reconcile(engine, controlPlane, options)).rejects.toThrow("WRONGTYPE");
    expect(written).toEqual(["e-b"]);
  });
});
