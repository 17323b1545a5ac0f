import fc from "fast-check";
import type { Redis } from "ioredis";
import { expect } from "vitest";
import { comparePositions, type Position } from "../../../src/domain/cursor.js";
import type { Engine } from "../../../src/domain/ports/engine.js";
import type { MembershipUpdate } from "../../../src/domain/ports/membershipStore.js";
import type { RedisEngine } from "../../../src/engine/redis/engine.js";
import { CHANNEL_EVENTS, eventKeys, INGEST_GENERATION, POSITION_FLOOR_FIELD } from "../../../src/engine/redis/keys.js";
import { freshId, readWholeLog } from "../../contract/fixtures.js";
import { BEGINNING, type OutcomeModel, StoreModel } from "./storeModel.js";

/** The position of a write of the control plane: long ago, at the newest of the event's tickets, or far ahead. */
type Place = { after: "beginning" | "ticket" | "end"; generation: number; count: number };

interface Update {
  user: string;
  channels: string[];
  place: Place;
  isReconciled: boolean;
}

/** The write that is applied after a separate ticket was taken and before it is used; undefined if the script takes the ticket. */
type Meanwhile = Update[] | undefined;

export type Command =
  | { do: "apply"; updates: Update[] }
  | { do: "set"; user: string; channels: string[]; onlyIfUnknown: boolean; meanwhile: Meanwhile }
  | { do: "sync"; users: Record<string, string[]>; meanwhile: Meanwhile };

/** Two engines on the same state: one with scripts that take their tickets, one that takes tickets elsewhere. */
export interface Engines {
  together: RedisEngine;
  apart: Engine;
  /** Called for each ticket that is taken elsewhere, before the write. */
  onTicket: (ticket: number) => Promise<void>;
}

/** Far above all tickets of the run, as after a loss of the counter. */
const FAR = 1_000_000;

const user = fc.constantFrom("u", "v", "w");
/** "x" belongs to another event. */
const own = fc.subarray(["a", "b", "c"]);
const any = fc.subarray(["a", "b", "c", "x"]);
const place: fc.Arbitrary<Place> = fc.record({
  after: fc.constantFrom("beginning", "beginning", "ticket", "ticket", "end"),
  generation: fc.integer({ min: 1, max: 3 }),
  count: fc.integer({ min: 0, max: 3 }),
});
const update: fc.Arbitrary<Update> = fc.record({ user, channels: any, place, isReconciled: fc.boolean() });
const meanwhile: fc.Arbitrary<Meanwhile> = fc.option(fc.array(update, { maxLength: 2 }), { nil: undefined });
/** Random commands. */
export const command: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant("apply" as const),
      updates: fc.array(update, { minLength: 1, maxLength: 4 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant("set" as const),
      user,
      channels: own,
      onlyIfUnknown: fc.boolean(),
      meanwhile,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("sync" as const),
      users: fc.dictionary(user, own, { maxKeys: 3 }),
      meanwhile,
    }),
  },
);

/** One event in Redis and in the model, for comparison. */
export class SideBySide {
  readonly eventId = freshId("event");
  readonly model = new StoreModel(new Set());
  readonly #engines: Engines;
  readonly #client: Redis;
  #newestTicket = 0;

  /** @param client for data that the engines do not expose */
  constructor(engines: Engines, client: Redis) {
    this.#engines = engines;
    this.#client = client;
  }

  async begin(): Promise<void> {
    this.#newestTicket = Number(await this.#client.get(INGEST_GENERATION));
    const foreign = this.#channel("x");
    const owner = freshId("other");
    await this.#client.hset(CHANNEL_EVENTS, foreign, owner);
    this.model.owners.set(foreign, owner);
  }

  /** Runs a command on both. Fails if their answers differ. */
  async run(next: Command): Promise<void> {
    switch (next.do) {
      case "apply":
        await this.#apply(next.updates);
        break;
      case "set":
        await this.#set(next.user, this.#channels(next.channels), next.onlyIfUnknown, next.meanwhile);
        break;
      case "sync": {
        const users = Object.entries(next.users).map(([id, names]) => [id, this.#channels(names)] as const);
        await this.#sync(new Map(users), next.meanwhile);
      }
    }
  }

  /** Fails if the members differ. */
  async compare(): Promise<void> {
    const { members, positionFloor } = this.model.event(this.eventId);
    // A position below the position floor counts as the position floor.
    const effective = (position: Position) =>
      comparePositions(position, positionFloor) > 0 ? position : positionFloor;
    const stored = await this.#readMembers();
    const entries = (await this.#engines.together.ingest?.controlPlane.readEntries(this.eventId)) ?? [];
    const isByRpc = new Map(entries.map((entry) => [entry.userId, entry.isByRpc]));
    expect([...stored.keys()].sort()).toEqual([...members.keys()].sort());
    for (const [userId, member] of members) {
      const { channelIds, position, revision } = stored.get(userId) ?? {};
      expect({
        channelIds,
        revision,
        position: effective(position as Position),
        isByRpc: isByRpc.get(userId),
      }).toEqual({
        channelIds: member.channelIds,
        revision: member.revision,
        position: effective(member.position),
        isByRpc: this.model.isWrittenByRpc(this.eventId, userId),
      });
    }
  }

  /** Fails if the logs differ. */
  async compareLog(): Promise<void> {
    const entries = await readWholeLog(this.#engines.together, this.eventId);
    const { log } = this.model.event(this.eventId);
    expect(entries.map((entry) => entry.kind === "membershipChanged" && pick(entry))).toEqual(log.map(pick));
  }

  async #apply(updates: readonly Update[]): Promise<void> {
    const batch = updates.map(
      (next): MembershipUpdate => ({
        userId: next.user,
        channelIds: this.#channels(next.channels),
        action: "set_user_channels",
        actor: "control-plane",
        position: this.#position(next.place),
        isReconciled: next.isReconciled,
      }),
    );
    const expected = batch.map((next) => this.#applyToModel(next));
    expect(await this.#engines.together.applyMemberships(this.eventId, batch)).toEqual(expected);
  }

  #applyToModel({ userId, channelIds, position, isReconciled }: MembershipUpdate): OutcomeModel {
    if (isReconciled && this.model.isWrittenByRpc(this.eventId, userId)) {
      const revision = this.model.event(this.eventId).members.get(userId)?.revision ?? 0;
      return { status: "stale", revision, added: [], removed: [], foreignChannelIds: [] };
    }
    return this.model.apply(this.eventId, { userId, channelIds, writer: "controlPlane" }, position);
  }

  // Writes at a ticket above all positions in `overwritten`. A ticket that was taken elsewhere may be overtaken
  // once, so the second attempt must succeed.
  async #writeAtTicket<T>(
    updates: Meanwhile,
    overwritten: () => readonly Position[],
    write: (engine: Engine) => Promise<T>,
  ): Promise<T> {
    if (updates === undefined) return write(this.#engines.together);
    const isEnough: boolean[] = [];
    this.#engines.onTicket = async (ticket) => {
      this.#newestTicket = ticket;
      if (isEnough.length === 0) await this.#apply(updates);
      isEnough.push(overwritten().every(({ generation }) => generation < ticket));
    };
    const outcome = await write(this.#engines.apart);
    expect([[true], [false, true]]).toContainEqual(isEnough);
    // This makes the position of the write a new one.
    this.#newestTicket--;
    return outcome;
  }

  async #set(userId: string, channelIds: string[], onlyIfUnknown: boolean, updates: Meanwhile): Promise<void> {
    const call = { eventId: this.eventId, userId, channelIds, action: "assigned", actor: "admin", onlyIfUnknown };
    const event = this.model.event(this.eventId);
    const overwritten = () => [event.positionFloor, event.members.get(userId)?.position ?? BEGINNING];
    const { superseded, epoch, ...outcome } = onlyIfUnknown
      ? await this.#engines[updates === undefined ? "together" : "apart"].setUserChannels(call)
      : await this.#writeAtTicket(updates, overwritten, (engine) => engine.setUserChannels(call));
    const position = onlyIfUnknown ? BEGINNING : (await this.#readMembers()).get(userId)?.position;
    if (position !== BEGINNING) this.#expectNewTicket(position);

    const writer = onlyIfUnknown ? "seed" : "rpc";
    const {
      status,
      foreignChannelIds: _,
      ...expected
    } = this.model.apply(this.eventId, { userId, channelIds, writer }, position ?? BEGINNING);
    expect({ ...outcome, superseded }).toEqual({ ...expected, superseded: status === "stale", replicated: false });
    expect(epoch).toBe(await this.#readEpoch());
  }

  async #sync(users: ReadonlyMap<string, string[]>, updates: Meanwhile): Promise<void> {
    const list = [...users].map(([userId, channelIds]) => ({ userId, channelIds }));
    const overwritten = () => {
      const { positionFloor, members } = this.model.event(this.eventId);
      return [positionFloor, ...[...members.values()].map(({ position }) => position)];
    };
    const outcome = await this.#writeAtTicket(updates, overwritten, (engine) =>
      engine.syncMembers({ eventId: this.eventId, users: list, actor: "admin" }),
    );
    const position = parsePosition((await this.#client.hget(eventKeys(this.eventId).meta, POSITION_FLOOR_FIELD)) ?? "");
    this.#expectNewTicket(position);

    const event = this.model.event(this.eventId);
    const before = event.revision;
    this.model.sync(this.eventId, users, position);
    const revoked = event.log.filter(({ revision, userId }) => revision > before && !users.has(userId));
    const changed = event.revision - before;
    const counts = { changedUsers: changed, revokedUsers: revoked.length };
    const epoch = await this.#readEpoch();
    expect(outcome).toEqual({ revision: event.revision, epoch, replicated: false, ...counts });
    await this.#adoptOrder(before);
  }

  // The store decides in which order it writes the users of one sync.
  async #adoptOrder(before: number): Promise<void> {
    const event = this.model.event(this.eventId);
    const revisions = new Map([...(await this.#readMembers())].map(([userId, { revision }]) => [userId, revision]));
    const synced = event.log.slice(before).map((entry) => ({ ...entry, revision: revisions.get(entry.userId) ?? 0 }));
    synced.sort((a, b) => a.revision - b.revision);
    expect(synced.map(({ revision }) => revision)).toEqual(event.log.slice(before).map(({ revision }) => revision));
    event.log = [...event.log.slice(0, before), ...synced];
    for (const { userId, revision } of synced) {
      const member = event.members.get(userId);
      if (member !== undefined) event.members.set(userId, { ...member, revision });
    }
  }

  #readEpoch(): Promise<string | null> {
    return this.#client.hget(eventKeys(this.eventId).meta, "epoch");
  }

  async #readMembers() {
    const raw = await this.#client.hgetall(eventKeys(this.eventId).members);
    const members = new Map<string, { channelIds: string[]; position: Position; revision: number }>();
    for (const [userId, json] of Object.entries(raw)) {
      const { c, p, r } = JSON.parse(json) as { c: string[]; p: string; r: number };
      members.set(userId, { channelIds: c, position: parsePosition(p), revision: r });
    }
    return members;
  }

  #expectNewTicket(position: Position | undefined): asserts position {
    expect(position).toEqual({ generation: expect.any(Number), count: 0 });
    if (position === undefined) throw new Error("there is no position");
    expect(position.generation).toBeGreaterThan(this.#newestTicket);
    this.#newestTicket = position.generation;
  }

  #position({ after, generation, count }: Place): Position {
    const bases = { beginning: generation, ticket: this.#newestTicket, end: this.#newestTicket + FAR + generation };
    return { generation: bases[after], count };
  }

  #channels(names: readonly string[]): string[] {
    return names.map((name) => this.#channel(name));
  }

  #channel(name: string): string {
    return `${this.eventId}-${name}`;
  }
}

function pick({
  revision,
  userId,
  channelIds,
  added,
  removed,
}: {
  revision: number;
  userId: string;
  channelIds: readonly string[];
  added: readonly string[];
  removed: readonly string[];
}) {
  return { revision, userId, channelIds, added, removed };
}

function parsePosition(text: string): Position {
  const [generation, count] = text.split("-").map(Number) as [number, number];
  return { generation, count };
}
