import { describe, expect, it } from "vitest";
import { check } from "../../torture/checker.js";
import type { Cursor, Entry, History, Rest, RouterRecord, StoredEvent } from "../../torture/record/history.js";

// A fleet of one replica and one router that saw two writes to one user. Each test puts one mistake into the record.
const EVENT = "t-e0";
const USER = `${EVENT}.u0`;
const FIRST = `${EVENT}.c00`;
const SECOND = `${EVENT}.c01`;

function entry(revision: number, channels: string, writeId: string): Entry {
  return { eventId: EVENT, epoch: "a", revision, userId: USER, channels, writeId, actor: "control-plane" };
}

const cursor = (revision: number, epoch = "a"): Cursor => ({ eventId: EVENT, epoch, revision });
const entries = () => [entry(1, FIRST, "w0"), entry(2, SECOND, "w1")];

function snapshot(revision: number, users: [string, string][], epoch = "a"): RouterRecord {
  return {
    kind: "snapshot",
    at: 1,
    ...cursor(revision, epoch),
    reason: "INITIAL",
    chunkIndex: 0,
    isComplete: true,
    users,
  };
}

function changes(...received: Entry[]): RouterRecord {
  return { kind: "changes", at: 20, eventId: EVENT, epoch: received[0]?.epoch ?? "a", entries: received };
}

const checkpoint = (at: number, revision: number, epoch = "a"): RouterRecord => {
  return { kind: "checkpoint", at, isHealthy: true, cursors: [cursor(revision, epoch)] };
};

function storedEvent(channels: string): StoredEvent {
  const position = { generation: 1, count: 2 };
  return { epoch: "a", revision: 2, members: new Map([[USER, { channels, position }]]), log: entries() };
}

function restOf(channels: string): Rest {
  return {
    at: 1_000,
    standingAt: 100,
    witnessed: 4,
    store: new Map([[EVENT, storedEvent(channels)]]),
    keys: new Map([[USER, channels]]),
    mirrors: new Map([["w0", new Map([[EVENT, new Map([[USER, channels]])]])]]),
  };
}

function goodHistory(): History {
  const [first, second] = entries() as [Entry, Entry];
  const answer = { ok: true, at: 12, revision: 0, isChange: true } as const;
  return {
    replicas: ["r0"],
    writes: new Map([
      ["w0", { id: "w0", path: "published", eventId: EVENT, channelsOf: new Map([[USER, FIRST]]), answer }],
      ["w1", { id: "w1", path: "published", eventId: EVENT, channelsOf: new Map([[USER, SECOND]]), answer }],
    ]),
    witnessed: [
      { kind: "published", at: 10, writeId: "w0" },
      { kind: "entry", at: 11, entry: first },
      { kind: "published", at: 12, writeId: "w1" },
      { kind: "entry", at: 13, entry: second },
    ],
    routers: new Map([
      ["w0", [{ kind: "opened", at: 0, cursors: [] }, snapshot(0, []), changes(first, second), checkpoint(30, 2)]],
    ]),
    troubles: [],
    strandings: [],
    outages: [],
    refusals: [],
    readiness: [],
    rests: [restOf(SECOND)],
    cpuWaits: [],
  };
}

function brokenLaws(spoil: (history: History) => void): string[] {
  const history = goodHistory();
  spoil(history);
  return [...new Set(check(history).map(({ law }) => law))];
}

function received({ routers }: History): RouterRecord[] {
  return routers.get("w0") as RouterRecord[];
}

/** Replaces a record of the router. */
const replace =
  (index: number, ...records: RouterRecord[]) =>
  (history: History) => {
    received(history).splice(index, 1, ...records);
  };

describe("the checker", () => {
  it("finds nothing in a correct record", () => {
    expect(check(goodHistory())).toEqual([]);
  });

  it("does not blame a router for the time in which the machine had no CPU for it", () => {
    const late = (history: History, ms: number) => {
      replace(2, { ...changes(...entries()), at: 1_500 } as RouterRecord)(history);
      replace(3, checkpoint(1_600, 2))(history);
      for (const rest of history.rests) rest.at = 2_000;
      history.cpuWaits = [
        { at: 50, ms: 1_000 },
        { at: 900, ms },
      ];
    };
    expect(brokenLaws((history) => late(history, 300))).toContain("G1");
    expect(brokenLaws((history) => late(history, 450))).toEqual([]);
  });

  it.each<[string, string, (history: History) => void]>([
    ["G1", "a router that lacks a change", replace(2, changes(entry(1, FIRST, "w0")))],
    [
      "G1",
      "a router that receives a change too late",
      replace(2, { ...changes(...entries()), at: 1_500 } as RouterRecord),
    ],
    ["G1", "a client that says something else", ({ rests }) => rests[0]?.mirrors.clear()],
    ["G1", "a party that stays away", ({ strandings }) => strandings.push({ party: "w0", at: 50 })],
    ["G2", "a gap", replace(2, changes(entry(2, SECOND, "w1")))],
    ["G2", "a revision twice", replace(2, changes(...entries()), changes(entry(2, SECOND, "w1")))],
    ["G2", "an epoch without a snapshot", replace(1)],
    ["G2", "changes of another epoch", replace(2, changes({ ...entry(1, FIRST, "w0"), epoch: "b" }))],
    ["G2", "a snapshot that goes back", replace(3, snapshot(1, [[USER, FIRST]]))],
    ["G2", "a resume from elsewhere", replace(3, { kind: "opened", at: 25, cursors: [cursor(1)] })],
    ["G3", "a checkpoint of what was not delivered", replace(3, checkpoint(30, 3))],
    ["G3", "another change under the same revision", replace(2, changes(entry(1, FIRST, "w0"), entry(2, FIRST, "w1")))],
    [
      "G3",
      "a checkpoint that reports a healthy feed for too long",
      replace(2, changes(entry(1, FIRST, "w0")), checkpoint(4_500, 1)),
    ],
    [
      "G6",
      "an older write that stays in force",
      ({ rests }) => {
        rests[0] = restOf(FIRST);
      },
    ],
    [
      "G6",
      "an older write that is applied later",
      ({ witnessed }) => {
        witnessed.push(...witnessed.splice(1, 1));
      },
    ],
    ["G7", "a channel of another event", replace(1, snapshot(0, [[USER, "t-e1.c00"]]))],
    ["G7", "a user of another event", replace(1, snapshot(0, [["t-e1.u0", FIRST]]))],
    [
      "G9",
      "a successful call without a log entry",
      ({ writes }) => {
        const answer = { ok: true, at: 40, revision: 3, isChange: true } as const;
        writes.set("w2", { id: "w2", path: "rpc", eventId: EVENT, channelsOf: new Map([[USER, FIRST]]), answer });
      },
    ],
    [
      "G9",
      "a call that fails without a reason",
      ({ writes }) => {
        const answer = { ok: false, at: 40, code: "INTERNAL" } as const;
        writes.set("w2", { id: "w2", path: "rpc", eventId: EVENT, channelsOf: new Map([[USER, FIRST]]), answer });
      },
    ],
    ["G9", "a change that no write requested", ({ writes }) => writes.delete("w1")],
    ["G9", "health without Redis", ({ outages }) => outages.push({ from: 14, to: 60, noticedBy: 20 })],
  ])("finds a breach of %s: %s", (law, _, spoil) => {
    expect(brokenLaws(spoil)).toContain(law);
  });

  it("allows an older write if no replica may have received the newest and the set does not contain it", () => {
    const spoil = (history: History) => {
      history.rests[0] = { ...restOf(FIRST), keys: new Map() };
      history.troubles.push({ party: "r0", fault: "a fault", isDeaf: true, from: 9, to: 900 });
    };
    expect(brokenLaws(spoil)).not.toContain("G6");
    const withKey = (history: History) => {
      spoil(history);
      history.rests[0]?.keys.set(USER, SECOND);
    };
    expect(brokenLaws(withKey)).toContain("G6");
  });
});
