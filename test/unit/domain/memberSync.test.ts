import { expect, test } from "vitest";
import { MemberList } from "../../../src/domain/memberSync.js";

const numbered = (prefix: string, count: number) => Array.from({ length: count }, (_, index) => `${prefix}${index}`);

test("a list keeps the order of its users, and sorts their channels", () => {
  const list = new MemberList();
  list.add("", { userId: "z", channelIds: ["b", "a", "b"] });
  list.add("", { userId: "y", channelIds: [] });
  expect(list.users).toEqual([
    { userId: "z", channelIds: ["a", "b"] },
    { userId: "y", channelIds: [] },
  ]);
});

test("a list has at most 100,000 users", () => {
  const list = new MemberList();
  for (const userId of numbered("u", 100_000)) list.add("", { userId, channelIds: [] });
  expect(() => list.add("", { userId: "one more", channelIds: [] })).toThrow(
    expect.objectContaining({ code: "resourceExhausted", message: expect.stringContaining("at most 100000 users") }),
  );
  expect(list.users).toHaveLength(100_000);
});

test("a list has at most 2,000,000 channels in all", () => {
  const list = new MemberList();
  const channelIds = numbered("c", 2_000);
  for (const userId of numbered("u", 1_000)) list.add("", { userId, channelIds });
  list.add("", { userId: "none", channelIds: [] });
  expect(() => list.add("", { userId: "one more", channelIds: ["c"] })).toThrow(
    expect.objectContaining({
      code: "resourceExhausted",
      message: expect.stringContaining("at most 2000000 channels"),
    }),
  );
});

test("an error about a user names its path", () => {
  const list = new MemberList();
  list.add("users[0].", { userId: "u", channelIds: [] });
  expect(() => list.add("users[1].", { userId: "u", channelIds: [] })).toThrow(/^users\[1\]\.user_id: "u" was named/);
  expect(() => list.add("users[1].", { userId: "v", channelIds: ["a", ""] })).toThrow(
    /^users\[1\]\.channel_ids\[1\]: must not be empty/,
  );
});
