import { expect, it } from "vitest";
import { SquelchError } from "../../../src/domain/errors.js";
import type { Identity } from "../../../src/domain/identity.js";
import { unknownChannel } from "../../../src/domain/membership.js";
import { NearChannels } from "../../../src/server/rpc/calls/nearChannels.js";

const channels = new Map([
  ["festival", ["stage", "stage-2", "gate", "Sage"]],
  ["rescue", ["stages"]],
]);

function callerOf(...events: string[]): Identity {
  const all = { name: "anna", scopes: new Set(["floor"] as const), expiresAtMs: Infinity, isProven: true };
  return { ...all, events: events.length > 0 ? events : undefined };
}

function createNear(listEvents = async () => [...channels.keys()]) {
  const reads: string[] = [];
  const near = new NearChannels({
    listEvents,
    listEventChannels: async (eventId) => {
      reads.push(eventId);
      return channels.get(eventId) ?? [];
    },
  });
  const nearOf = async (channelId: string, caller = callerOf()) => {
    const call = () => Promise.reject(unknownChannel(channelId));
    const error = await near.name(channelId, caller, call).catch((reason: SquelchError) => reason);
    return error instanceof SquelchError ? error.metadata : undefined;
  };
  return { near, nearOf, reads };
}

it("names at most three similar channels, the nearest first", async () => {
  const { nearOf } = createNear();
  expect(await nearOf("stag")).toEqual({ channelId: "stag", near: JSON.stringify(["stage", "Sage", "stages"]) });
  expect(await nearOf("nothing-like-it")).toEqual({ channelId: "nothing-like-it" });
});

it("G7: names only channels of events that the caller may access", async () => {
  const { nearOf } = createNear();
  expect(await nearOf("stagess", callerOf("festival"))).toEqual({
    channelId: "stagess",
    near: JSON.stringify(["stage", "stage-2"]),
  });
  expect(await nearOf("stag", callerOf("other"))).toEqual({ channelId: "stag" });
});

it("reads the channels once for many calls", async () => {
  const { nearOf, reads } = createNear();
  await Promise.all(["a", "b", "c"].map((channelId) => nearOf(channelId)));
  await nearOf("d");
  expect(reads).toEqual(["festival", "rescue"]);
});

it("says that the channel is unknown also while the store cannot list any", async () => {
  const { nearOf } = createNear(() => Promise.reject(new SquelchError("unavailable", "Redis cannot be reached")));
  expect(await nearOf("stag")).toEqual({ channelId: "stag" });
});

it("passes answers and other errors on", async () => {
  const { near } = createNear();
  expect(await near.name("stage", callerOf(), async () => "answer")).toBe("answer");
  const failure = new SquelchError("unavailable", "Redis cannot be reached");
  await expect(near.name("stage", callerOf(), () => Promise.reject(failure))).rejects.toBe(failure);
});
