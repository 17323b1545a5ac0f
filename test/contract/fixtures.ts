import { randomUUID } from "node:crypto";
import { expect } from "vitest";
import type { LogEntry } from "../../src/domain/change.js";
import type { Position } from "../../src/domain/cursor.js";
import type { SquelchErrorCode } from "../../src/domain/errorReasons.js";
import type { Engine } from "../../src/domain/ports/engine.js";
import type { PauseRequest, PublishedSpeaker, StartPttRequest } from "../../src/domain/ports/floorStore.js";
import type { MembershipUpdate } from "../../src/domain/ports/membershipStore.js";
import { waitFor } from "../support/waitFor.js";

/** Gives the engine of the running suite, once its setup is done. */
export type GetEngine = () => Engine;

/** Returns an id that no test has used before. */
export function freshId(prefix: string): string {
  return `${prefix}-${randomUUID()}`;
}

/** Returns `count` ids that no test has used before, ascending. */
export function freshIds(prefix: string, count: number): string[] {
  const base = freshId(prefix);
  return Array.from({ length: count }, (_, i) => `${base}-${String(i).padStart(4, "0")}`);
}

/** The position of the control plane's message number `count` in the past, before every ticket taken by a test. */
export function past(count: number, generation = 1): Position {
  return { generation, count };
}

/** Returns the part of a speaker that is published as the state of the channel. */
export function published(speaker: PublishedSpeaker | undefined): PublishedSpeaker | undefined {
  if (speaker === undefined) return undefined;
  const { userId, userName, startedAtMs } = speaker;
  return { userId, userName, startedAtMs };
}

/** A position that is later than every ticket of a test. */
export function future(count: number): Position {
  return { generation: Date.now() + 3_600_000, count };
}

export function update(userId: string, channelIds: string[], position: Position): MembershipUpdate {
  return { userId, channelIds, action: "set_user_channels", actor: "control-plane", position };
}

/** Writes over RPC, as an administrator. */
export function assign(engine: Engine, eventId: string, userId: string, channelIds: string[], onlyIfUnknown = false) {
  const write = { eventId, userId, channelIds, action: "assigned", actor: "admin", onlyIfUnknown };
  return engine.setUserChannels(write);
}

/** A new event with channels that each of the users may speak on. */
export async function makeEvent(engine: Engine, userIds: string[], channelCount = 1) {
  const eventId = freshId("event");
  const channelIds = freshIds("channel", channelCount);
  await engine.applyMemberships(
    eventId,
    userIds.map((userId) => update(userId, channelIds, past(1))),
  );
  return { eventId, channelIds, channelId: channelIds[0] as string };
}

export function press(engine: Engine, channelId: string, userId: string, rest: Partial<StartPttRequest> = {}) {
  return engine.startPtt({
    channelId,
    userId,
    userName: `${userId}'s name`,
    sessionId: "",
    priority: "normal",
    talkTimeMs: 30_000,
    leaseTimeMs: 30_000,
    actor: "router",
    ...rest,
  });
}

/** Takes the floor; fails if it is denied. */
export async function take(engine: Engine, channelId: string, userId: string, rest: Partial<StartPttRequest> = {}) {
  const outcome = await press(engine, channelId, userId, rest);
  if (!outcome.granted) throw new Error(`not granted: ${JSON.stringify(outcome)}`);
  return outcome;
}

export function pause(engine: Engine, eventId: string, rest: Partial<PauseRequest> = {}) {
  const request = { eventId, reason: "fire", actor: "admin", durationMs: 60_000, exemptUserIds: [], requestId: "" };
  return engine.pauseAllSpeakers({ ...request, ...rest });
}

/** Waits until the event's pause has expired. */
export async function untilRunOut(engine: Engine, eventId: string): Promise<void> {
  await waitFor(async () => (await engine.getActiveSpeakers(eventId)).pause === undefined, {
    message: "the pause to run out",
  });
}

export async function readWholeLog(engine: Engine, eventId: string): Promise<LogEntry[]> {
  const { epoch } = await engine.loadEvent(eventId);
  const entries = await engine.readLog(eventId, { epoch, revision: 0 }, 100_000);
  if (entries === undefined) throw new Error("the log does not reach back to its beginning");
  return entries;
}

/** Collects the entries that are appended to an event from now on. An entry from just before may still arrive. */
export async function followNew(engine: Engine, eventId: string) {
  const { revision } = await engine.loadEvent(eventId);
  const followed = collect<LogEntry>();
  const unfollow = await engine.follow(eventId, (entry) => {
    if (entry.revision > revision) followed.listener(entry);
  });
  return { ...followed, unfollow };
}

/** Asserts that a promise rejects with a SquelchError whose message contains each of the texts. */
export async function expectFailure(promise: Promise<unknown>, code: SquelchErrorCode, ...texts: string[]) {
  const error = await promise.then(
    (value) => expect.unreachable(`resolved with ${JSON.stringify(value)}`),
    (reason: unknown) => reason,
  );
  expect(error).toMatchObject({ name: "SquelchError", code });
  for (const text of texts) expect((error as Error).message).toContain(text);
}

/** What the outcome of every write has beside the revision, on a store without replicas. */
export const written = { epoch: expect.stringMatching(/./), replicated: false };

/** Collects the arguments of each call of a listener. */
export function collect<T>() {
  const seen: T[] = [];
  return {
    seen,
    listener: (value: T) => void seen.push(value),
    /** Waits for that many calls. The caller must check that there are no more. */
    until: (count: number) =>
      waitFor(() => seen.length >= count, { message: () => `${count} calls, seen ${JSON.stringify(seen)}` }),
  };
}
