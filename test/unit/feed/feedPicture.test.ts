import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, it } from "vitest";
import type { Change, MembershipChanged } from "../../../src/domain/change.js";
import { FeedPicture } from "../../../src/server/feed/feedPicture.js";

const USERS = 20_000;

/** An entry as the log returns it. It was parsed, so each entry has its own strings. */
function changeOf(user: number, revision: number): Change & MembershipChanged {
  const change: Change & MembershipChanged = {
    kind: "membershipChanged",
    revision,
    timeMs: 0,
    actor: "test",
    userId: `user-${user}`,
    channelIds: [0, 1, 2, 3].map((index) => `event-channel-${((user % 50) * 4 + index) % 200}`),
    added: [],
    removed: [],
    action: "set",
  };
  return JSON.parse(JSON.stringify(change)) as typeof change;
}

function heapBytes(): number {
  // A flag can be set while the program runs. A new context then has the function.
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  collect();
  collect();
  return process.memoryUsage().heapUsed;
}

it("uses little more memory than the ids of a user, also after many changes of the user", () => {
  const before = heapBytes();
  const picture = new FeedPicture({ members: [] });
  for (let revision = 1; revision <= 3 * USERS; revision++) picture.apply(changeOf(revision % USERS, revision));
  const held = (heapBytes() - before) / USERS;
  expect(picture.members.size).toBe(USERS);
  // It would be 370 if each user had its own strings for the channels.
  expect(held).toBeLessThan(250);
});

it("does not keep the ids of channels that users have lost (G8)", () => {
  const before = heapBytes();
  const picture = new FeedPicture({ members: [] });
  const change = changeOf(1, 0);
  for (let revision = 1; revision <= 400_000; revision++) {
    picture.apply({ ...change, revision, channelIds: [`channel-${revision}`] });
  }
  expect(picture.members.get("user-1")?.channelIds).toEqual(["channel-400000"]);
  // It would be 30 MiB if each id was kept.
  expect(heapBytes() - before).toBeLessThan(16 << 20);
});

it("keeps the time of a user's disconnection while channels change, for every user", () => {
  const member = { userId: "user-1", channelIds: ["a", "b"], revision: 3 };
  const disconnected = { userId: "user-2", channelIds: ["b"], revision: 2, disconnectedAtMs: 17 };
  const picture = new FeedPicture({ members: [member, disconnected] });
  expect([...picture.members.values()]).toEqual([member, disconnected]);
  const change = { ...changeOf(2, 4), timeMs: 20 };
  picture.apply(change);
  const changed = { ...disconnected, channelIds: changeOf(2, 4).channelIds, revision: 4 };
  expect(picture.members.get("user-2")).toEqual(changed);
});
