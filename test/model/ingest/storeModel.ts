import { comparePositions, type Position } from "../../../src/domain/cursor.js";
import type { Flaw } from "./flaws.js";

/** The source of the newest write of a membership. */
export type Writer = "controlPlane" | "rpc" | "seed";

export interface MemberModel {
  readonly channelIds: readonly string[];
  readonly position: Position;
  /** The revision of the newest change, 0 if there was none in this epoch. */
  readonly revision: number;
  readonly writer: Writer;
}

export interface EntryModel {
  readonly revision: number;
  readonly userId: string;
  readonly channelIds: readonly string[];
  readonly added: readonly string[];
  readonly removed: readonly string[];
}

export interface OutcomeModel {
  status: "changed" | "unchanged" | "stale";
  revision: number;
  added: string[];
  removed: string[];
  foreignChannelIds: string[];
}

export interface WriteModel {
  userId: string;
  channelIds: readonly string[];
  writer: Writer;
}

/** A position before every other position. */
export const BEGINNING: Position = { generation: 0, count: 0 };

/** One event: the channels of each user, and the log. */
export class EventModel {
  readonly members = new Map<string, MemberModel>();
  /** The ticket of the newest sync. Nothing at or below it applies. */
  positionFloor = BEGINNING;
  /** A second position floor, which only a flaw raises, at a new epoch. */
  epochPositionFloor = BEGINNING;
  log: EntryModel[] = [];
  revision = 0;

  clone(): EventModel {
    const { positionFloor, epochPositionFloor, log, revision } = this;
    const copy = Object.assign(new EventModel(), { positionFloor, epochPositionFloor, log: [...log], revision });
    for (const [userId, member] of this.members) copy.members.set(userId, member);
    return copy;
  }
}

/** The memberships of all events, as the scripts keep them. Each method is one step. */
export class StoreModel {
  readonly events = new Map<string, EventModel>();
  /** Channel → event. */
  readonly owners = new Map<string, string>();

  constructor(readonly flaws: ReadonlySet<Flaw>) {}

  event(eventId: string): EventModel {
    const known = this.events.get(eventId);
    if (known !== undefined) return known;
    const event = new EventModel();
    this.events.set(eventId, event);
    return event;
  }

  /** Applies a write if its position is above that of the user and above the position floor. */
  apply(eventId: string, { userId, channelIds, writer }: WriteModel, position: Position): OutcomeModel {
    const event = this.event(eventId);
    const member = event.members.get(userId);
    const nothing = { revision: member?.revision ?? 0, added: [], removed: [], foreignChannelIds: [] };
    const floors = this.flaws.has("position floor ignored") ? [] : [event.positionFloor, event.epochPositionFloor];
    const isBelow = floors.some((floor) => comparePositions(position, floor) <= 0);
    if (isBelow || (member !== undefined && !this.#isLater(position, member.position))) {
      // A seed has the lowest position, so every other write wins over it. It is applied only if there was no write.
      const isFirstSeed = writer === "seed" && member === undefined && event.positionFloor === BEGINNING;
      if (!isFirstSeed) return { status: "stale", ...nothing };
    }

    const isForeign = (channelId: string) => (this.owners.get(channelId) ?? eventId) !== eventId;
    const foreignChannelIds = channelIds.filter(isForeign);
    const after = channelIds.filter((channelId) => !isForeign(channelId));
    for (const channelId of after) this.owners.set(channelId, eventId);

    const before = member?.channelIds ?? [];
    const added = after.filter((channelId) => !before.includes(channelId));
    const removed = before.filter((channelId) => !after.includes(channelId));
    if (added.length + removed.length === 0) {
      const keepsPosition = member !== undefined && this.flaws.has("position kept if equal");
      const keepsWriter = member !== undefined && this.flaws.has("rpc mark only on change");
      event.members.set(userId, {
        channelIds: after,
        position: keepsPosition ? member.position : position,
        revision: nothing.revision,
        writer: keepsWriter ? member.writer : writer,
      });
      return { status: "unchanged", ...nothing, foreignChannelIds };
    }
    const revision = ++event.revision;
    event.log.push({ revision, userId, channelIds: after, added, removed });
    event.members.set(userId, { channelIds: after, position, revision, writer });
    if (after.length === 0 && this.flaws.has("emptied users forgotten")) event.members.delete(userId);
    return { status: "changed", revision, added, removed, foreignChannelIds };
  }

  /** Replaces a whole event at a ticket: users who are not named lose all channels. */
  sync(eventId: string, users: ReadonlyMap<string, readonly string[]>, position: Position): void {
    const event = this.event(eventId);
    const isNewest = comparePositions(position, event.positionFloor) > 0;
    const unnamed = [...event.members.keys()].filter((userId) => !users.has(userId));
    for (const [userId, channelIds] of users) this.apply(eventId, { userId, channelIds, writer: "rpc" }, position);
    for (const userId of unnamed) this.apply(eventId, { userId, channelIds: [], writer: "rpc" }, position);
    if (isNewest) event.positionFloor = position;
  }

  /** Removes users without channels if the position floor protects them from older updates. */
  purge(eventId: string): void {
    const { members, positionFloor } = this.event(eventId);
    if (positionFloor === BEGINNING) return;
    for (const [userId, { channelIds, position }] of members) {
      if (channelIds.length === 0 && comparePositions(position, positionFloor) <= 0) members.delete(userId);
    }
  }

  /** Begins the log of every event again; memberships remain. */
  beginEpoch(): void {
    for (const event of this.events.values()) {
      event.log = [];
      event.revision = 0;
      for (const [userId, member] of event.members) event.members.set(userId, { ...member, revision: 0 });
    }
  }

  /** True if the newest write about a user came over RPC, by name or by a sync of the whole event. */
  isWrittenByRpc(eventId: string, userId: string): boolean {
    const { members, positionFloor } = this.event(eventId);
    const member = members.get(userId);
    if (member === undefined) return positionFloor !== BEGINNING && !this.flaws.has("sync forgotten");
    return member.writer === "rpc";
  }

  clone(): StoreModel {
    const copy = new StoreModel(this.flaws);
    for (const [eventId, event] of this.events) copy.events.set(eventId, event.clone());
    for (const [channelId, eventId] of this.owners) copy.owners.set(channelId, eventId);
    return copy;
  }

  #isLater(a: Position, b: Position): boolean {
    if (this.flaws.has("positions without count")) return a.generation > b.generation;
    const difference = comparePositions(a, b);
    return difference > 0 || (difference === 0 && this.flaws.has("equal position applies"));
  }
}
