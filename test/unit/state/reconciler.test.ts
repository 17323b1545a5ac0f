import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { SquelchError } from "../../../src/domain/errors.js";
import type { Engine } from "../../../src/domain/ports/engine.js";
import type { ControlPlane } from "../../../src/engine/redis/ingest/controlPlane.js";
import { createLogger } from "../../../src/lib/logger.js";
import { SharedRun } from "../../../src/lib/sharedRun.js";
import { reconcile } from "../../../src/server/state/reconcile.js";
import { Reconciler } from "../../../src/server/state/reconciler.js";

describe("SharedRun", () => {
  it("gives whoever asks during a run one run that begins after it", async () => {
    const finish: (() => void)[] = [];
    const job = vi.fn(() => new Promise<number>((resolve) => finish.push(() => resolve(finish.length))));
    const shared = new SharedRun(job);
    const first = shared.run();
    await vi.waitFor(() => expect(job).toHaveBeenCalledTimes(1));
    const second = shared.run();
    expect(shared.run()).toBe(second);
    finish[0]?.();
    expect(await first).toBe(1);
    await vi.waitFor(() => expect(job).toHaveBeenCalledTimes(2));
    finish[1]?.();
    expect(await second).toBe(2);
  });

  it("goes on after a run that failed, of which only those who shared it hear", async () => {
    const job = vi.fn(async () => "done").mockRejectedValueOnce(new Error("not now"));
    const shared = new SharedRun(job);
    await expect(shared.run()).rejects.toThrow("not now");
    expect(await shared.run()).toBe("done");
  });
});

describe("Reconciler", () => {
  let isReachable: boolean;
  let tickets: number;
  let closedGaps: [id: string, to: number][];
  let asked: (readonly string[] | undefined)[];
  let openedAt: number | undefined;
  let reconciler: Reconciler;

  beforeEach(() => {
    vi.useFakeTimers();
    isReachable = true;
    tickets = 0;
    closedGaps = [];
    asked = [];
    openedAt = 7;
    const controlPlane: ControlPlane = {
      takeTicket: async () => ++tickets,
      raiseWatermark: async () => 0,
      async openWatermark() {
        if (!isReachable) throw new SquelchError("unavailable", "Redis cannot be reached; try again");
        return "w1";
      },
      closeGap: async (id, to) => void closedGaps.push([id, to]),
      listUsers: async () => [],
      readAssignedChannels: async (userIds) => userIds.map(() => []),
      async readEntries(_eventId, userIds) {
        asked.push(userIds);
        return [];
      },
      readChannelEvents: async () => [],
    };
    const engine = { listEvents: async () => ["e1"] } as unknown as Engine;
    const ingest = {
      get openedAt() {
        return openedAt;
      },
    };
    reconciler = new Reconciler(engine, controlPlane, ingest, createLogger("test", "silent"));
  });
  afterEach(() => {
    reconciler.stop();
    vi.useRealTimers();
  });

  it("closes the gap before the unbroken subscription, where there is one", async () => {
    await reconciler.run();
    expect(closedGaps).toEqual([["w1", 7]]);
    openedAt = undefined;
    await reconciler.run();
    expect(closedGaps).toHaveLength(1);
  });

  it("serves requests of the same second with one reconcile, and is due until then", async () => {
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

  it("repeats what was requested until it succeeds", async () => {
    isReachable = false;
    reconciler.request();
    await vi.advanceTimersByTimeAsync(3_500);
    expect(reconciler.isDue).toBe(true);
    isReachable = true;
    await vi.advanceTimersByTimeAsync(1_000);
    expect(reconciler.isDue).toBe(false);
    expect(tickets).toBe(1);
  });

  it("begins nothing that was requested once it is stopped", async () => {
    reconciler.request();
    reconciler.stop();
    reconciler.request();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(tickets).toBe(0);
  });

  it("compares users who are asked for at the same time together", async () => {
    const all = ["u1", "u2", "u1"].map((userId) => reconciler.runForUser(userId));
    await vi.advanceTimersByTimeAsync(1_000);
    await Promise.all(all);
    expect(asked).toEqual([["u1", "u2"]]);
    expect(tickets).toBe(1);
    expect(closedGaps).toEqual([]);
  });
});

describe("reconcile", () => {
  it("writes every other event where the store fails to write one, and fails then", async () => {
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
    const options = { onAmbiguous: () => undefined, onOverLimit: () => undefined };
    await expect(reconcile(engine, controlPlane, options)).rejects.toThrow("WRONGTYPE");
    expect(written).toEqual(["e-b"]);
  });
});
