import { describe, expect, test } from "vitest";
import type { Flaw } from "./flaws.js";
import type { Step } from "./ingestModel.js";
import { LawBroken } from "./laws.js";
import { runSchedule } from "./runSchedule.js";
import { type Schedule, WORLDS, type World } from "./worlds.js";

const assign = (event: string, user: string, ...channels: string[]): Step => ({ do: "assign", event, user, channels });
const set = (event: string, user: string, ...channels: string[]): Step => {
  return { do: "set", event, user, channels, apart: false };
};
const receive = (replica: number): Step => ({ do: "receive", replica, messages: 20 });
const apply = (replica: number, event: string): Step => ({ do: "apply", replica, event, size: 9, fate: "done" });
const keepUp = (replica: number): Step => ({ do: "keepUp", replica });
const crash = (replica: number): Step => ({ do: "crash", replica });
const connect = (replica: number): Step => ({ do: "connect", replica });
const reconcile = (replica: number, steps = 100): Step => ({ do: "reconcile", replica, steps });
/** Every connection is cut, and messages that were not received yet are never delivered. */
const cutAll: Step = { do: "cutAll", undelivered: 20 };

interface Rule {
  rule: string;
  /** The result without the rule. */
  flaw: Flaw;
  world: World;
  /** The result for users whose replicas are at rest. */
  broken: RegExp;
  steps: Step[];
  rest?: Partial<Schedule>;
}

const rules: Rule[] = [
  {
    rule: "a reconcile raises the position of users whose key agrees with the state, too",
    flaw: "equal keys skipped",
    world: WORLDS["the control plane alone"],
    broken: /u in e has \[e2\], but the newest write, .*, says \[e1\]/,
    steps: [
      assign("e", "u", "e1"),
      keepUp(0),
      assign("e", "u", "e2"),
      // Received by one replica, which is busy until long after its connection was cut.
      receive(0),
      cutAll,
      assign("e", "u", "e1"),
    ],
    // The second replica finds the gap and reconciles: key and state agree. Then the first applies the remaining
    // updates.
    rest: { survivors: [1, 0] },
  },
  {
    rule: "a reconcile does not change users whom a sync has written, including those without an entry",
    flaw: "sync forgotten",
    world: WORLDS["writes over RPC"],
    broken: /u in e has \[e1\], but the newest write, sync .*, says \[\]/,
    steps: [cutAll, assign("e", "u", "e1"), { do: "sync", event: "e", users: {}, apart: false }],
  },
  {
    rule: "a write over RPC marks the entry although it changes nothing",
    flaw: "rpc mark only on change",
    world: WORLDS["writes over RPC"],
    broken: /u in e has \[e2\], but the newest write, rpc .*, says \[e1\]/,
    steps: [assign("e", "u", "e1"), keepUp(0), cutAll, assign("e", "u", "e2"), set("e", "u", "e1")],
  },
  {
    rule: "a write only for the unknown loses to what was published before and is not applied yet",
    flaw: "seed at a ticket",
    world: WORLDS["writes over RPC"],
    broken: /u in e has \[e2\], but the newest write .*, published .*, says \[e1\]/,
    steps: [assign("e", "u", "e1"), receive(0), { do: "seed", event: "e", user: "u", channels: ["e2"] }],
  },
  {
    rule: "a write only for the unknown does not undo a sync that did not name the user",
    flaw: "seed at a ticket",
    world: WORLDS["writes over RPC"],
    broken: /u in e has \[e1\], but the newest write .*, sync .*, says \[\]/,
    steps: [
      { do: "sync", event: "e", users: {}, apart: false },
      { do: "seed", event: "e", user: "u", channels: ["e1"] },
    ],
  },
  {
    rule: "a new epoch does not raise the position floor above what was received and waits",
    flaw: "epoch position floor",
    world: WORLDS["the control plane alone"],
    broken: /u in e has \[e1\], but the newest write .*, says \[e2\]/,
    // For example, a Redis replica was attached: no connection breaks, so no replica looks for a gap.
    steps: [assign("e", "u", "e1"), keepUp(0), assign("e", "u", "e2"), receive(0), { do: "beginEpoch", replica: 0 }],
  },
  {
    rule: "nor to where the subscription of the replica that notices it began",
    flaw: "epoch position floor at opening",
    world: WORLDS["the control plane alone"],
    broken: /u in e has \[e1\], but the newest write .*, says \[e2\]/,
    steps: [
      assign("e", "u", "e1"),
      keepUp(0),
      assign("e", "u", "e2"),
      receive(0),
      crash(1),
      connect(1),
      keepUp(1),
      { do: "beginEpoch", replica: 1 },
    ],
  },
  {
    rule: "a rejection by a position above the newest seen ticket does not mean that the counter was lost",
    flaw: "lag taken for loss",
    world: WORLDS["writes over RPC"],
    broken: /u in e has \[e1\], but the newest write .*, rpc .*, says \[e2\]/,
    steps: [assign("e", "u", "e1"), receive(0), set("e", "u", "e2"), apply(0, "e")],
  },
  {
    rule: "where ticket and state are apart, a write over RPC that was overtaken is repeated at a new ticket",
    flaw: "refused is final",
    world: WORLDS["writes over RPC"],
    broken: /u in e has \[e1\], but the newest write, rpc .*, says \[e2\]/,
    steps: [
      assign("e", "u", "e1"),
      keepUp(0),
      { do: "set", event: "e", user: "u", channels: ["e2"], apart: true },
      reconcile(0),
      { do: "arrive" },
    ],
  },
  {
    rule: "an absent key revokes nothing where it may stand for another event that was emptied",
    flaw: "emptied entries overlooked",
    world: WORLDS["users in several events"],
    broken: /u in e has \[\], but the newest write, .*, says \[e1\]/,
    steps: [
      assign("e", "u", "e1"),
      keepUp(0),
      // The reconcile reads the key.
      reconcile(0),
      assign("f", "u", "f1"),
      assign("f", "u"),
      keepUp(0),
      reconcile(0),
    ],
  },
  {
    rule: "a reconcile does not learn from a key which event a channel belongs to",
    flaw: "keys teach channels",
    world: WORLDS["recomputes of one user at once"],
    broken: /a reconcile gave v \[f2\] in e, which nobody ever did/,
    steps: [
      assign("e", "u", "e1"),
      keepUp(0),
      cutAll,
      // The key becomes a mixture of two events; f2 is new.
      { do: "beginAssign", event: "e", user: "u", channels: ["e1"] },
      { do: "beginAssign", event: "f", user: "u", channels: ["f2"], besides: true },
      { do: "continueAssign", user: "u" },
      { do: "continueAssign", user: "u" },
      { do: "continueAssign", user: "u" },
      { do: "continueAssign", user: "u" },
      connect(0),
      reconcile(0),
      assign("f", "v", "f2"),
    ],
  },
  {
    rule: "a watermark that was lost during a reconcile is not raised at its end",
    flaw: "raised though lost",
    world: WORLDS["the control plane alone, Redis loses data"],
    broken: /the watermark \d+ is past message \d+, which nobody has applied/,
    steps: [
      assign("e", "u", "e1"),
      connect(0),
      { do: "tick", replica: 0 },
      receive(0),
      // All steps except the last one, which raises the watermark.
      reconcile(0, 4),
      { do: "loseState" },
    ],
    rest: { isCold: true },
  },
];

describe("each rule of the ingest protocol is needed in one schedule", () => {
  test.each(rules.map((rule): [string, Rule] => [rule.rule, rule]))(
    "G6: %s",
    (_, { flaw, world, broken, steps, rest }) => {
      const schedule = { isCold: false, steps, survivors: [], ...rest };
      expect(() => runSchedule(world, schedule)).not.toThrow();
      expect(() => runSchedule(world, schedule, flaw)).toThrow(LawBroken);
      expect(() => runSchedule(world, schedule, flaw)).toThrow(broken);
    },
  );
});
