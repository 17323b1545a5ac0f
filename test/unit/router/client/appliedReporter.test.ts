import { status } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Cursor } from "../../../../src/domain/cursor.js";
import { createLogger } from "../../../../src/lib/logger.js";
import { AppliedPositions } from "../../../../src/router/client/appliedPositions.js";
import { AppliedReporter, type ReportedAction } from "../../../../src/router/client/appliedReporter.js";

const logger = createLogger("test", "silent");
const cursor = (eventId: string, revision: number, epoch = "x"): Cursor => ({ eventId, epoch, revision });

describe("AppliedReporter", () => {
  let positions: Map<string, number>;
  /** Each report as `{ event: revision }`; a farewell has `leaving` too. */
  let reports: Record<string, number | boolean>[];
  /** The results of the next reports. Later reports succeed at once. */
  let outcomes: Promise<unknown>[];
  let reporter: AppliedReporter;

  beforeEach(() => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    // Signs of life are not shortened.
    vi.spyOn(Math, "random").mockReturnValue(0);
    positions = new Map([["e1", 1]]);
    reports = [];
    outcomes = [];
    const send = (cursors: readonly Cursor[], leaving: boolean) => {
      const revisions = Object.fromEntries(cursors.map(({ eventId, revision }) => [eventId, revision]));
      reports.push(leaving ? { ...revisions, leaving } : revisions);
      return outcomes.shift() ?? Promise.resolve();
    };
    reporter = new AppliedReporter(() => [...positions].map(([id, at]) => cursor(id, at)), send, logger);
    reporter.start();
  });

  afterEach(async () => {
    await reporter.leave();
    vi.useRealTimers();
    vi.restoreAllMocks();
  });

  const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);
  const act = (eventId: string, revision: number, action: ReportedAction) => {
    positions.set(eventId, revision);
    reporter.acted(action);
  };
  const fail = (code: status) => {
    const failure = Promise.reject(Object.assign(new Error("made to fail"), { code, details: "made to fail" }));
    failure.catch(() => undefined);
    outcomes.push(failure);
  };

  it("reports an urgent change at once, but only after all its listeners were called", async () => {
    act("e1", 2, "emergency");
    // The listeners of the next change in this message were not called yet.
    positions.set("e1", 3);
    expect(reports).toEqual([]);
    await pass(0);
    expect(reports).toEqual([{ e1: 3 }]);
  });

  it("reports a single change at once, and all changes of the next second together", async () => {
    act("e1", 2, "other");
    await pass(0);
    expect(reports).toEqual([{ e1: 2 }]);
    for (let revision = 3; revision <= 10; revision++) {
      act("e1", revision, "other");
      await pass(100);
    }
    act("e2", 1, "other");
    expect(reports).toHaveLength(1);
    await pass(200);
    expect(reports).toEqual([{ e1: 2 }, { e1: 10, e2: 1 }]);
  });

  it.each([
    ["revocation", 250],
    ["emergency", 20],
  ] as const)("sends few reports for many changes: %s", async (action, gapMs) => {
    for (let revision = 2; revision <= 1_001; revision++) {
      act("e1", revision, action);
      await pass(1);
    }
    expect(reports.length).toBeLessThanOrEqual(1_000 / gapMs + 1);
    await pass(gapMs);
    expect(reports.at(-1)).toEqual({ e1: 1_001 });
  });

  it("reports urgent changes before other changes", async () => {
    act("e1", 2, "other");
    await pass(100);
    act("e1", 3, "other");
    await pass(50);
    act("e1", 4, "revocation");
    await pass(50);
    expect(reports).toHaveLength(1);
    await pass(50);
    expect(reports).toEqual([{ e1: 2 }, { e1: 4 }]);
    act("e1", 5, "revocation");
    await pass(50);
    act("e1", 6, "emergency");
    await pass(0);
    expect(reports.slice(2)).toEqual([{ e1: 6 }]);
    await pass(4_000);
    expect(reports, "nothing is left to say").toHaveLength(3);
  });

  it("names only the events that moved, and all of them every 5 s as a sign of life", async () => {
    positions.set("e2", 7);
    act("e1", 2, "emergency");
    await pass(0);
    act("e1", 3, "emergency");
    await pass(20);
    expect(reports).toEqual([{ e1: 2, e2: 7 }, { e1: 3 }]);
    await pass(4_979);
    expect(reports).toHaveLength(2);
    await pass(1);
    expect(reports.slice(2)).toEqual([{ e1: 3, e2: 7 }]);
    await pass(10_000);
    expect(reports.slice(3)).toEqual([
      { e1: 3, e2: 7 },
      { e1: 3, e2: 7 },
    ]);
  });

  it("sends one report at a time; later changes go into the next report", async () => {
    let arrive = () => {};
    outcomes.push(
      new Promise<void>((resolve) => {
        arrive = resolve;
      }),
    );
    act("e1", 2, "emergency");
    await pass(100);
    act("e1", 3, "emergency");
    await pass(100);
    act("e1", 4, "emergency");
    await pass(10_000);
    expect(reports).toEqual([{ e1: 2 }]);
    arrive();
    await pass(0);
    expect(reports).toEqual([{ e1: 2 }, { e1: 4 }]);
  });

  it("repeats the content of a failed report in the next one", async () => {
    fail(status.UNAVAILABLE);
    fail(status.DEADLINE_EXCEEDED);
    act("e1", 2, "emergency");
    await pass(0);
    act("e2", 1, "emergency");
    await pass(999);
    expect(reports, "a store that is away is not asked without end").toEqual([{ e1: 2 }]);
    await pass(1);
    expect(reports.slice(1)).toEqual([{ e1: 2, e2: 1 }]);
    await pass(1_000);
    expect(reports.slice(2)).toEqual([{ e1: 2, e2: 1 }]);
    await pass(1_000);
    expect(reports).toHaveLength(3);
  });

  it("sends no more reports to a replica that does not know the call, and logs this once", async () => {
    const warn = vi.spyOn(logger, "warn");
    fail(status.UNIMPLEMENTED);
    fail(status.UNIMPLEMENTED);
    act("e1", 2, "emergency");
    await pass(59_999);
    act("e1", 3, "emergency");
    expect(reports).toEqual([{ e1: 2 }]);
    await pass(1);
    expect(reports).toHaveLength(2);
    await pass(60_000);
    expect(reports.slice(2), "it may have been replaced by one that does").toEqual([{ e1: 3 }]);
    expect(warn).toHaveBeenCalledTimes(1);
  });

  it("sends the farewell last, after a running report", async () => {
    let arrive = () => {};
    outcomes.push(
      new Promise<void>((resolve) => {
        arrive = resolve;
      }),
    );
    act("e1", 2, "emergency");
    await pass(0);
    const left = reporter.leave();
    act("e1", 3, "emergency");
    await pass(100);
    expect(reports).toEqual([{ e1: 2 }]);
    arrive();
    await left;
    expect(reports).toEqual([{ e1: 2 }, { e1: 3, leaving: true }]);
    await pass(20_000);
    expect(reports).toHaveLength(2);
  });

  it("reports more than 1,000 events in parts", async () => {
    for (let i = 0; i < 2_500; i++) positions.set(`more-${i}`, 1);
    reporter.acted("emergency");
    await pass(0);
    expect(reports.map((report) => Object.keys(report).length)).toEqual([1_000, 1_000, 501]);
  });
});

describe("AppliedPositions", () => {
  it("stays at the last change before a deferred one until that is done", () => {
    const positions = new AppliedPositions();
    const doneBeforeAnything = positions.defer("e1");
    positions.advance(cursor("e1", 1));
    positions.advance(cursor("e2", 1));
    expect(positions.cursors()).toEqual([cursor("e2", 1)]);
    doneBeforeAnything();
    expect(positions.cursors()).toEqual([cursor("e1", 1), cursor("e2", 1)]);

    const first = positions.defer("e1");
    positions.advance(cursor("e1", 2));
    const second = positions.defer("e1");
    positions.advance(cursor("e1", 3, "y"));
    expect(positions.cursors()).toEqual([cursor("e1", 1), cursor("e2", 1)]);
    first();
    first();
    expect(positions.cursors()).toEqual([cursor("e1", 2), cursor("e2", 1)]);
    second();
    expect(positions.cursors()).toEqual([cursor("e1", 3, "y"), cursor("e2", 1)]);
  });
});
