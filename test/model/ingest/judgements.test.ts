import fc from "fast-check";
import { expect, test } from "vitest";
import { judgeUser } from "../../../src/server/state/reconcileRules.js";
import { judgeKey } from "./reconcileModel.js";
import { StoreModel, type Writer } from "./storeModel.js";

const RUNS = 5_000;
const SEED = Number(process.env.MODEL_SEED ?? Math.floor(Math.random() * 2 ** 31));
const USER = "u";

const channels = fc.subarray(["e1", "e2", "f1", "new"]);
const history = fc.record({
  writes: fc.array(
    fc.record({
      event: fc.constantFrom("e", "f"),
      kind: fc.constantFrom<Writer | "sync" | "syncOfOthers">("controlPlane", "rpc", "seed", "sync", "syncOfOthers"),
      channelIds: channels,
    }),
    { maxLength: 4 },
  ),
  seenIn: fc.subarray(["e", "f"]),
  key: channels,
});

test("G6: the rules of a reconcile and the model agree after any earlier writes", () => {
  const property = fc.property(history, ({ writes, seenIn, key }) => {
    const store = new StoreModel(new Set());
    for (const [channelId, owner] of Object.entries({ e1: "e", e2: "e", f1: "f" })) store.owners.set(channelId, owner);
    writes.forEach(({ event, kind, channelIds }, index) => {
      const position = { generation: index + 1, count: 0 };
      const own = channelIds.filter((channelId) => store.owners.get(channelId) === event);
      if (kind === "sync") store.sync(event, new Map([[USER, own]]), position);
      else if (kind === "syncOfOthers") store.sync(event, new Map(), position);
      else store.apply(event, { userId: USER, channelIds: own, writer: kind }, position);
    });
    const known = [...store.events].flatMap(([eventId, { members }]) => {
      const member = members.get(USER);
      return member === undefined ? [] : [{ eventId, ...member, wasKeySeen: seenIn.includes(eventId) }];
    });

    const expected = judgeKey(store, USER, known, key);
    const entries = known.map((entry) => ({ ...entry, isByRpc: store.isWrittenByRpc(entry.eventId, USER) }));
    const verdict = judgeUser(key, (channelId) => store.owners.get(channelId), entries);
    // The script rejects these. It also compares with syncs that did not name the user.
    const isRefused = verdict.kind === "write" && store.isWrittenByRpc(verdict.eventId, USER);
    if (expected.kind === "write")
      expect(verdict).toEqual({ ...expected, channelIds: [...expected.channelIds].sort() });
    else expect(isRefused || verdict.kind !== "write").toBe(true);
  });
  fc.assert(property, { numRuns: RUNS, seed: SEED });
});
