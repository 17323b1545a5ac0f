import { setImmediate as nextTurn } from "node:timers/promises";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { AuditRecord } from "../../../src/domain/audit.js";
import { createLogger } from "../../../src/lib/logger.js";
import { AuditTrail } from "../../../src/server/ops/auditTrail.js";

const record = (target: string): AuditRecord => ({
  timeMs: 1,
  actor: "a",
  action: "PauseAllSpeakers",
  eventId: "e",
  target,
  outcome: "OK",
  callId: "r",
  detail: "",
});

/** A store that fails while `isAway`. */
function createStore() {
  const written: string[] = [];
  const store = {
    isAway: false,
    written,
    async appendAudit(records: readonly AuditRecord[]) {
      await Promise.resolve();
      if (store.isAway) throw new Error("away");
      written.push(...records.map(({ target }) => target));
    },
    listAudit: async () => [],
  };
  return store;
}

const start = (store: ReturnType<typeof createStore>) => new AuditTrail(store, createLogger("test", "silent"));

beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }));
afterEach(() => void vi.useRealTimers());

it("keeps the order, and waits while the store is away", async () => {
  const store = createStore();
  const trail = start(store);
  store.isAway = true;
  for (const target of ["1", "2", "3"]) trail.record(record(target));
  await nextTurn();
  store.isAway = false;
  trail.record(record("4"));
  await vi.advanceTimersByTimeAsync(1_000);
  expect(store.written).toEqual(["1", "2", "3", "4"]);
  expect(trail).toMatchObject({ recorded: 4, dropped: 0 });
});

it("keeps a bounded number of records for the store, and counts the others (G8, G9)", async () => {
  const store = createStore();
  const trail = start(store);
  store.isAway = true;
  for (let count = 0; count < 10_050; count++) trail.record(record(String(count)));
  await nextTurn();
  store.isAway = false;
  await vi.advanceTimersByTimeAsync(1_000);
  expect(store.written).toHaveLength(10_000);
  expect(trail.dropped).toBe(50);
});

it("writes the remaining records at its end, but limits the wait", async () => {
  const store = createStore();
  const trail = start(store);
  trail.record(record("1"));
  await trail.close();
  expect(store.written).toEqual(["1"]);

  const hung = start({ ...createStore(), appendAudit: () => new Promise(() => undefined) });
  hung.record(record("2"));
  const closed = hung.close();
  await vi.advanceTimersByTimeAsync(2_000);
  await closed;
  expect(hung.dropped).toBe(1);
});
