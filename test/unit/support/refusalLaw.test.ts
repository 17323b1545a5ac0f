import { describe, expect, it } from "vitest";
import { checkRefusals } from "../../torture/laws/refusals.js";
import type { Entry, History, ReadinessRecord } from "../../torture/record/history.js";

// A fleet of one replica and one router. Redis refused writes from 10 to 20 s; one update was published meanwhile.
const EVENT = "t-e0";
const USER = `${EVENT}.u0`;
const CHANNEL = `${EVENT}.c00`;
const FAULT = "Redis is full";
const PUBLISHED_MS = 15_000;
const OVER_MS = 20_000;
const REST_MS = 60_000;

function entry(revision: number): Entry {
  return {
    ...{ eventId: EVENT, epoch: "a", revision, userId: USER, channels: CHANNEL },
    ...{ writeId: "w0", actor: "control-plane" },
  };
}

/** @param isReady of the replica at a time, ms */
function historyOf({
  appliedMs = 20_500,
  toldMs = 20_600,
  isReady = (ms: number) => ms < 16_000 || ms > OVER_MS,
} = {}) {
  const readiness: ReadinessRecord[] = [];
  for (let at = 0; at < REST_MS; at += 250) readiness.push({ replica: "r0", at, isReady: isReady(at) });
  const cursor = (revision: number) => ({ eventId: EVENT, epoch: "a", revision });
  const history: History = {
    replicas: ["r0"],
    writes: new Map([
      [
        "w0",
        {
          ...{ id: "w0", path: "published", eventId: EVENT, channelsOf: new Map([[USER, CHANNEL]]) },
          answer: { ok: true, at: PUBLISHED_MS, revision: 0, isChange: true },
        },
      ],
    ]),
    witnessed: [
      { kind: "published", at: PUBLISHED_MS, writeId: "w0" },
      { kind: "entry", at: appliedMs, entry: entry(1) },
    ],
    routers: new Map([
      [
        "w0",
        [
          { kind: "checkpoint", at: 1_000, isHealthy: true, cursors: [cursor(0)] },
          { kind: "checkpoint", at: toldMs, isHealthy: true, cursors: [cursor(1)] },
        ],
      ],
    ]),
    troubles: [{ party: "r0", fault: FAULT, isDeaf: false, from: 9_900, to: OVER_MS + 2_000 }],
    strandings: [],
    outages: [],
    refusals: [
      {
        ...{ fault: FAULT, from: 10_000, heldUntil: OVER_MS, ceasedAt: OVER_MS, to: OVER_MS },
        ...{ replicas: ["r0"], isTotal: true },
      },
    ],
    readiness,
    rests: [{ at: REST_MS, standingAt: 30_000, witnessed: 2, store: new Map(), keys: new Map(), mirrors: new Map() }],
    cpuWaits: [],
  };
  return history;
}

const textOf = (history: History) => checkRefusals(history).map(({ law, text }) => `${law} ${text}`);

describe("the law of refusals", () => {
  it("finds nothing if an update was kept and the replica reported that it could not write", () => {
    expect(textOf(historyOf())).toEqual([]);
  });

  it("finds an update that is lost, also if Redis refused nothing when it was published", () => {
    const lost = historyOf();
    lost.witnessed.pop();
    expect(textOf(lost)).toEqual([expect.stringMatching(/^G1 w0 .* in force never/)]);
    const before = historyOf();
    before.witnessed.splice(0, 2, { kind: "published", at: 9_000, writeId: "w0" });
    expect(textOf(before)).toEqual([expect.stringMatching(/^G1 w0/)]);
  });

  it("finds an update that is in force too late, at the store or at a router", () => {
    expect(textOf(historyOf({ appliedMs: 25_100, toldMs: 25_200 }))).toEqual([expect.stringMatching(/only at 25100/)]);
    expect(textOf(historyOf({ toldMs: 26_100 }))).toEqual([expect.stringMatching(/had not arrived at w0 by 26000/)]);
  });

  it("accepts an update that changes nothing", () => {
    const same = historyOf();
    const [published] = same.witnessed.splice(0) as [never];
    const earlier = { kind: "entry", at: 9_000, entry: { ...entry(1), writeId: "w-1" } } as const;
    same.witnessed.push(earlier, published);
    expect(textOf(same)).toEqual([]);
    // Another write changes the user long afterwards.
    const later = { kind: "entry", at: 40_000, entry: { ...entry(2), writeId: "w9", channels: "" } } as const;
    same.witnessed.push(later);
    expect(textOf(same)).toEqual([]);
  });

  it("accepts a revocation without effect only if Redis has lost what it revokes", () => {
    const history = historyOf();
    const earlier = { kind: "entry", at: 2_000, entry: { ...entry(1), writeId: "w9" } } as const;
    const loss = { kind: "lost", at: 4_000, backTo: 0, isCertain: true } as const;
    history.witnessed.splice(0, 2, earlier, { kind: "published", at: PUBLISHED_MS, writeId: "w0" });
    history.writes.set("w0", { id: "w0", path: "published", eventId: EVENT, channelsOf: new Map([[USER, ""]]) });
    expect(textOf(history)).toEqual([expect.stringMatching(/^G1 w0 .* never/)]);
    history.witnessed.splice(1, 0, loss);
    expect(textOf(history)).toEqual([]);
  });

  it("grants the time for which the machine had no CPU, and for which another fault lasted", () => {
    const busy = historyOf({ appliedMs: 25_100, toldMs: 25_200 });
    busy.cpuWaits = [{ at: 21_000, ms: 500 }];
    expect(textOf(busy)).toEqual([]);
    const cut = historyOf({ appliedMs: 27_000, toldMs: 27_100 });
    cut.troubles.push({ party: "r0", fault: "another", isDeaf: false, from: 19_000, to: 24_000 });
    expect(textOf(cut)).toEqual([]);
  });

  it("does not expect an update that no replica could receive, or that Redis has lost", () => {
    const deaf = historyOf();
    deaf.witnessed.pop();
    deaf.troubles.push({ party: "r0", fault: "another", isDeaf: true, from: 14_000, to: 16_000 });
    expect(textOf(deaf)).toEqual([]);
    const lost = historyOf();
    lost.witnessed.splice(1, 1, { kind: "lost", at: 16_000, backTo: 0, isCertain: true });
    expect(textOf(lost)).toEqual([]);
  });

  it("finds a replica that is ready while its writes fail for longer than 6 s", () => {
    const text = /^G9 r0 was ready 8750 ms after its writes began to fail/;
    expect(textOf(historyOf({ isReady: () => true }))).toEqual([expect.stringMatching(text)]);
    const partial = historyOf({ isReady: () => true });
    for (const refusal of partial.refusals) refusal.isTotal = false;
    expect(textOf(partial)).toEqual([]);
  });

  it("finds a replica that is not ready again soon", () => {
    const late = historyOf();
    for (const trouble of late.troubles) trouble.to = OVER_MS + 5_300;
    expect(textOf(late)).toEqual([expect.stringMatching(/^G9 r0 was ready again 300 ms too late/)]);
  });

  it("finds a replica that stays with a server that was demoted", () => {
    const history = historyOf({ appliedMs: 15_100, toldMs: 15_200 });
    for (const refusal of history.refusals) refusal.to = refusal.from;
    for (const trouble of history.troubles) trouble.to = OVER_MS;
    const text = /^G9 r0 was not ready 8750 ms after a successor had taken over/;
    expect(textOf(history)).toContainEqual(expect.stringMatching(text));
    history.readiness = historyOf({ isReady: (ms) => ms < 16_000 || ms > 17_000 }).readiness;
    expect(textOf(history)).toEqual([]);
  });
});
