import { comparePositions, type Position } from "../../../src/domain/cursor.js";
import type { Flaw } from "./flaws.js";
import { History, type Write } from "./history.js";
import { type Entry, judgeKey, type Verdict } from "./reconcileModel.js";
import { BEGINNING, type OutcomeModel, StoreModel } from "./storeModel.js";

/** An update of the control plane, with its place in the stream. */
export type Publication = Write & { kind: "published"; userId: string };

export type Message =
  | { kind: "ticket"; generation: number }
  | { kind: "update"; publication: Publication }
  | { kind: "malformed" };

interface Watermark {
  /** Distinguishes this watermark from one that was created after a loss. */
  readonly id: number;
  readonly generation: number;
}

interface Ticket {
  position: Position;
  /** The place of its message. */
  order: number;
}

/** A reconcile under way. */
interface Reconcile extends Ticket {
  watermarkId: number;
  losses: number;
}

interface Copy {
  store: StoreModel;
  keys: Map<string, readonly string[]>;
  seenKeys: Set<string>;
  generation: number;
  watermark: Watermark | undefined;
  history: ReturnType<History["copy"]>;
  busyUsers: readonly string[];
}

/** A model of Redis: the data, one ordered stream of messages, and the scripts. Each script is one step. */
export class RedisModel {
  readonly history = new History();
  /** Everything that was ever published. A connection reads on from where it began. */
  readonly stream: Message[] = [];
  /** Commands that were sent and arrive later, even if their sender has ended. */
  inFlight: (() => void)[] = [];
  clock = 1_000;
  store: StoreModel;
  watermark: Watermark | undefined;
  /** The control plane's keys: user → channels of one event; a user without channels has none. */
  keys = new Map<string, readonly string[]>();
  // Where a reconcile has found a key with channels: `event/user`.
  #seenKeys = new Set<string>();
  #generation = 0;
  #copy: Copy | undefined;
  #lastWatermarkId = 0;

  constructor(readonly flaws: ReadonlySet<Flaw>) {
    this.store = new StoreModel(flaws);
  }

  /** Takes a new ticket, and publishes it in the same step. */
  takeTicket(): Ticket {
    const generation = this.#raiseGeneration();
    return { position: { generation, count: 0 }, order: this.#publishTicket(generation) };
  }

  publish(eventId: string, userId: string, channelIds: readonly string[]): void {
    const order = this.stream.length;
    const channelsOf = new Map([[userId, channelIds]]);
    const publication: Publication = { kind: "published", order, eventId, userId, channelsOf, position: BEGINNING };
    this.stream.push({ kind: "update", publication });
    this.history.writes.push(publication);
  }

  /** Applies what a replica has received, at the position that it derived. */
  apply(publication: Publication, position: Position): OutcomeModel {
    const { eventId, userId, channelsOf } = publication;
    this.history.executed.push({ ...publication, position });
    const channelIds = channelsOf.get(userId) ?? [];
    return this.store.apply(eventId, { userId, channelIds, writer: "controlPlane" }, position);
  }

  /** @param isApart true if ticket and state are not in the same Redis, so that the write arrives later */
  setUserChannels(eventId: string, userId: string, channelIds: readonly string[], isApart: boolean): void {
    const channelsOf = new Map([[userId, channelIds]]);
    const write = ({ order, position }: Ticket) => {
      this.#record({ kind: "rpc", order, eventId, channelsOf, position });
      this.store.apply(eventId, { userId, channelIds, writer: "rpc" }, position);
    };
    if (this.flaws.has("rpc ticket late")) {
      const generation = this.#raiseGeneration();
      write({ order: this.stream.length, position: { generation, count: 0 } });
      this.inFlight.push(() => void this.#publishTicket(generation));
    } else {
      this.#writeAtTicket(eventId, isApart, write);
    }
  }

  /** Writes only if the user never had an entry. */
  seed(eventId: string, userId: string, channelIds: readonly string[]): void {
    if (this.store.event(eventId).members.has(userId)) return;
    const position = this.flaws.has("seed at a ticket") ? this.takeTicket().position : BEGINNING;
    const { status } = this.store.apply(eventId, { userId, channelIds, writer: "seed" }, position);
    if (status === "stale") return;
    this.#record({ kind: "seed", order: -1, eventId, channelsOf: new Map([[userId, channelIds]]), position });
  }

  sync(eventId: string, channelsOf: ReadonlyMap<string, readonly string[]>, isApart: boolean): void {
    this.#writeAtTicket(eventId, isApart, ({ order, position }) => {
      this.#record({ kind: "sync", order, eventId, channelsOf, position });
      this.store.sync(eventId, channelsOf, position);
    });
  }

  /**
   * A replica reports that it has applied everything from the ticket at which its unbroken subscription began to a later ticket. Returns
   * the watermark as it now is, 0 if there is none.
   */
  raiseWatermark(began: number, applied: number): number {
    const { watermark } = this;
    if (watermark === undefined) return 0;
    const isContinued = watermark.generation >= began || this.flaws.has("raised from above");
    if (isContinued && applied > watermark.generation) this.watermark = { ...watermark, generation: applied };
    return (this.watermark as Watermark).generation;
  }

  /** Starts a reconcile: returns its ticket and the watermark below which it will repair everything. */
  beginReconcile(): Reconcile {
    this.watermark ??= { id: ++this.#lastWatermarkId, generation: 0 };
    return { ...this.takeTicket(), watermarkId: this.watermark.id, losses: this.history.losses };
  }

  /** Lists all users who have a key or an entry. */
  listUsers(): string[] {
    const users = new Set(this.keys.keys());
    for (const { members } of this.store.events.values()) for (const userId of members.keys()) users.add(userId);
    return [...users].sort();
  }

  /** Lists all channels of a user in all events. */
  channelsOf(userId: string): string[] {
    return [...this.store.events.values()].flatMap(({ members }) => members.get(userId)?.channelIds ?? []);
  }

  /** Lists the events in which a user is known, with or without channels. Read it before the key. */
  readEntries(userId: string): Entry[] {
    const known = [...this.store.events].filter(([, { members }]) => members.has(userId));
    return known.map(([eventId]) => ({ eventId, wasKeySeen: this.#seenKeys.has(`${eventId}/${userId}`) }));
  }

  /** Writes the content of a user's key at the ticket of a reconcile. */
  reconcileUser(userId: string, entries: readonly Entry[], key: readonly string[], reconcile: Reconcile): void {
    const { order, position } = reconcile;
    // The data was read before Redis lost data, and is written after the loss.
    if (reconcile.losses !== this.history.losses) this.history.unreliable.add(userId);
    const verdict = judgeKey(this.store, userId, entries, key);
    if (verdict.kind === "write" && key.length > 0) this.#seenKeys.add(`${verdict.eventId}/${userId}`);
    const changes = verdict.kind === "write" && this.#writeReconciled(userId, verdict, order, position);
    const knownIn = entries.map(({ eventId }) => eventId);
    const { losses } = this.history;
    this.history.judgements.push({ order, madeAt: this.stream.length, userId, knownIn, verdict, changes, losses });
  }

  /** Ends a reconcile: everything published before `began` has been repaired. */
  finishReconcile(reconcile: Reconcile, began: number | undefined): void {
    if (reconcile.losses === this.history.losses) this.history.reconciled.push(reconcile.order);
    if (began === undefined) return;
    if (this.flaws.has("raised though lost")) this.watermark ??= { id: reconcile.watermarkId, generation: 0 };
    if (this.watermark?.id !== reconcile.watermarkId) return;
    if (began > this.watermark.generation) this.watermark = { ...this.watermark, generation: began };
  }

  /** A fail-over without loss, or an attached Redis replica: a new epoch begins. */
  beginEpoch(openedAt: number | undefined): void {
    this.store.beginEpoch();
    const isFresh = this.flaws.has("epoch position floor");
    if (!isFresh && !this.flaws.has("epoch position floor at opening")) return;
    const generation = isFresh ? undefined : openedAt;
    for (const event of this.store.events.values()) {
      event.epochPositionFloor = generation === undefined ? this.takeTicket().position : { generation, count: 0 };
    }
  }

  /** Makes a copy that a later restart may load. */
  save(busyUsers: readonly string[]): void {
    const { store, keys, watermark, history } = this;
    this.#copy = {
      store: store.clone(),
      keys: new Map(keys),
      seenKeys: new Set(this.#seenKeys),
      generation: this.#generation,
      watermark,
      history: history.copy(),
      busyUsers,
    };
  }

  /** Loads a copy on restart. The caller cuts the connections. The clock continues. */
  restart(data: "kept" | "saved" | "gone", busyUsers: readonly string[]): void {
    this.inFlight = [];
    if (data === "kept") return;
    const copy = data === "saved" ? this.#copy : undefined;
    for (const userId of [...busyUsers, ...(copy?.busyUsers ?? [])]) this.history.unreliable.add(userId);
    const owners = this.store.owners;
    this.store = copy?.store.clone() ?? new StoreModel(this.flaws);
    // The routers write again which channel belongs to which event.
    for (const [channelId, owner] of owners) this.store.owners.set(channelId, owner);
    this.keys = new Map(copy?.keys);
    this.#seenKeys = new Set(copy?.seenKeys);
    this.#generation = copy?.generation ?? 0;
    this.watermark = copy?.watermark;
    this.history.loseSince(copy?.history ?? { writes: 0, executed: [], reconciled: [] });
    this.clock += 1_000;
  }

  /** An operator deletes all keys of Squelch. The control plane's keys and the connections remain. */
  loseState(): void {
    const { history, store } = this;
    this.store = new StoreModel(this.flaws);
    for (const [channelId, owner] of store.owners) this.store.owners.set(channelId, owner);
    this.#seenKeys.clear();
    this.#generation = 0;
    this.watermark = undefined;
    for (const write of history.writes) if (write.kind !== "published") history.lost.add(write);
    history.executed = [];
    history.reconciled = [];
    history.losses++;
    this.clock += 1_000;
  }

  #raiseGeneration(): number {
    this.#generation = this.flaws.has("clock alone") ? this.clock : Math.max(this.#generation + 1, this.clock);
    return this.#generation;
  }

  #publishTicket(generation: number): number {
    return this.stream.push({ kind: "ticket", generation }) - 1;
  }

  // The conflicting write may be a reconcile's conclusion from older data, not a newer write. Then it runs once
  // more.
  #writeAtTicket(eventId: string, isApart: boolean, write: (ticket: Ticket) => void): void {
    const ticket = this.takeTicket();
    if (!isApart) {
      write(ticket);
      return;
    }
    this.inFlight.push(() => {
      const { members, positionFloor } = this.store.event(eventId);
      const written = [positionFloor, ...[...members.values()].map(({ position }) => position)];
      const isOvertaken = written.some((position) => comparePositions(position, ticket.position) > 0);
      if (isOvertaken && !this.flaws.has("refused is final")) this.#writeAtTicket(eventId, true, write);
      else write(ticket);
    });
  }

  #record(write: Write): void {
    this.history.writes.push(write);
    this.history.executed.push(write);
  }

  #writeReconciled(
    userId: string,
    { eventId, channelIds }: Verdict & { kind: "write" },
    order: number,
    position: Position,
  ): boolean {
    const before = this.store.event(eventId).members.get(userId)?.channelIds ?? [];
    const isEqual = before.length === channelIds.length && channelIds.every((channelId) => before.includes(channelId));
    if (isEqual && this.flaws.has("equal keys skipped")) return false;
    const channelsOf = new Map([[userId, channelIds]]);
    this.history.executed.push({ kind: "reconciled", order, eventId, channelsOf, position });
    return this.store.apply(eventId, { userId, channelIds, writer: "controlPlane" }, position).status === "changed";
  }
}
