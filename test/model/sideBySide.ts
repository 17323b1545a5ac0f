import fc from "fast-check";
import type { Redis } from "ioredis";
import { expect } from "vitest";
import { comparePositions, type Position } from "../../src/domain/cursor.js";
import type { Engine, MembershipUpdate } from "../../src/domain/ports.js";
import { CHANNEL_EVENTS, eventKeys, INGEST_GENERATION } from "../../src/engine/redis/keys.js";
import { freshId, readWholeLog } from "../contract/fixtures.js";
import { BEGINNING, StoreModel, type WriteModel } from "./storeModel.js";

/** Where a write of the control plane stands: long ago, after the newest of the event's tickets, or far ahead. */
type Place = { after: "beginning" | "ticket" | "end"; generation: number; count: number };

export type Command =
  | { do: "apply"; updates: { user: string; channels: string[]; place: Place }[] }
  | { do: "set"; user: string; channels: string[]; onlyIfUnknown: boolean }
  | { do: "sync"; users: Record<string, string[]> }
  | { do: "raiseFloor"; place: Place };

const NOTHING = { added: [], removed: [] };
/** Further ahead than the tickets get meanwhile: as if the counter had been lost. */
const FAR = 1_000_000;

const user = fc.constantFrom("u", "v", "w");
/** "x" belongs to another event. */
const own = fc.subarray(["a", "b", "c"]);
const any = fc.subarray(["a", "b", "c", "x"]);
const place: fc.Arbitrary<Place> = fc.record({
  after: fc.constantFrom("beginning", "beginning", "ticket", "ticket", "end"),
  generation: fc.integer({ min: 1, max: 3 }),
  count: fc.integer({ min: 1, max: 3 }),
});
/** Random commands. */
export const command: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant("apply" as const),
      updates: fc.array(fc.record({ user, channels: any, place }), { minLength: 1, maxLength: 4 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant("set" as const), user, channels: own, onlyIfUnknown: fc.boolean() }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant("sync" as const), users: fc.dictionary(user, own, { maxKeys: 3 }) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("raiseFloor" as const), place }) },
);

/** One event, in Redis and in the model, side by side. */
export class SideBySide {
  readonly eventId = freshId("event");
  readonly model = new StoreModel(new Set());
  readonly #engine: Engine;
  readonly #client: Redis;
  #newestTicket = 0;

  /** @param client for what the engine does not tell */
  constructor(engine: Engine, client: Redis) {
    this.#engine = engine;
    this.#client = client;
  }

  async begin(): Promise<void> {
    this.#newestTicket = Number(await this.#client.get(INGEST_GENERATION));
    const foreign = this.#channel("x");
    const owner = freshId("other");
    await this.#client.hset(CHANNEL_EVENTS, foreign, owner);
    this.model.owners.set(foreign, owner);
  }

  /** Runs a command on both; fails where they answer differently. */
  async run(next: Command): Promise<void> {
    switch (next.do) {
      case "apply":
        await this.#apply(next.updates);
        break;
      case "set":
        await this.#set(next.user, this.#channels(next.channels), next.onlyIfUnknown);
        break;
      case "sync":
        await this.#sync(new Map(Object.entries(next.users).map(([id, names]) => [id, this.#channels(names)])));
        break;
      case "raiseFloor": {
        const event = this.model.event(this.eventId);
        const floor = this.#position(next.place);
        if (next.place.after === "end" || comparePositions(floor, event.floor) <= 0) break;
        event.floor = floor;
        await this.#client.hset(eventKeys(this.eventId).meta, "floor", `${floor.generation}-${floor.count}`);
      }
    }
  }

  /** Fails where the members differ. */
  async compare(): Promise<void> {
    const { members, floor } = this.model.event(this.eventId);
    // What is below the floor is guarded by the floor.
    const effective = (position: Position) => (comparePositions(position, floor) > 0 ? position : floor);
    const stored = await this.#readMembers();
    expect([...stored.keys()].sort()).toEqual([...members.keys()].sort());
    for (const [userId, member] of members) {
      const { channelIds, position, revision } = stored.get(userId) ?? {};
      expect({ channelIds, revision, position: effective(position as Position) }).toEqual({
        channelIds: member.channelIds,
        revision: member.revision,
        position: effective(member.position),
      });
    }
  }

  /** Fails where the logs differ. */
  async compareLog(): Promise<void> {
    const entries = await readWholeLog(this.#engine, this.eventId);
    const { log } = this.model.event(this.eventId);
    expect(entries.map((entry) => entry.kind === "membershipChanged" && pick(entry))).toEqual(log.map(pick));
  }

  async #apply(updates: { user: string; channels: string[]; place: Place }[]): Promise<void> {
    const batch = updates.map((update): MembershipUpdate & WriteModel => ({
      userId: update.user,
      channelIds: this.#channels(update.channels),
      action: "set_user_channels",
      actor: "control-plane",
      position: this.#position(update.place),
      writer: "controlPlane",
    }));
    const expected = batch.map((update) => this.model.apply(this.eventId, update, update.position));
    expect(await this.#engine.applyMemberships(this.eventId, batch)).toEqual(expected);
  }

  async #set(userId: string, channelIds: string[], onlyIfUnknown: boolean): Promise<void> {
    const isKnown = this.model.event(this.eventId).members.has(userId);
    const write = { eventId: this.eventId, userId, channelIds, action: "assigned", actor: "admin", onlyIfUnknown };
    const { superseded, ...outcome } = await this.#engine.setUserChannels(write);
    expect(superseded).toBe(onlyIfUnknown && isKnown);
    if (superseded) {
      expect(outcome).toEqual({ revision: this.model.event(this.eventId).members.get(userId)?.revision, ...NOTHING });
      return;
    }
    const position = (await this.#readMembers()).get(userId)?.position ?? BEGINNING;
    this.#expectNewTicket(position);
    const {
      status: _,
      foreignChannelIds: __,
      ...expected
    } = this.model.apply(this.eventId, { userId, channelIds, writer: "rpc" }, position);
    expect(outcome).toEqual(expected);
  }

  async #sync(users: ReadonlyMap<string, string[]>): Promise<void> {
    const list = [...users].map(([userId, channelIds]) => ({ userId, channelIds }));
    const outcome = await this.#engine.syncMembers({ eventId: this.eventId, users: list, actor: "admin" });
    const position = parsePosition((await this.#client.hget(eventKeys(this.eventId).meta, "floor")) ?? "");
    this.#expectNewTicket(position);

    const event = this.model.event(this.eventId);
    const before = event.revision;
    this.model.sync(this.eventId, users, position);
    const revoked = event.log.filter(({ revision, userId }) => revision > before && !users.has(userId));
    const changed = event.revision - before;
    expect(outcome).toEqual({ revision: event.revision, changedUsers: changed, revokedUsers: revoked.length });
    await this.#adoptOrder(before);
  }

  // In which order the users of one sync are written is left to the store.
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

  async #readMembers() {
    const raw = await this.#client.hgetall(eventKeys(this.eventId).members);
    const members = new Map<string, { channelIds: string[]; position: Position; revision: number }>();
    for (const [userId, json] of Object.entries(raw)) {
      const { c, p, r } = JSON.parse(json) as { c: string[]; p: string; r: number };
      members.set(userId, { channelIds: c, position: parsePosition(p), revision: r });
    }
    return members;
  }

  #expectNewTicket(position: Position): void {
    expect(position).toEqual({ generation: expect.any(Number), count: 0 });
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
