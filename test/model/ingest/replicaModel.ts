import type { Position } from "../../../src/domain/cursor.js";
import type { Publication, RedisModel } from "./redisModel.js";

/**
 * The number of its own ticks for which a replica waits until another raises the watermark past the start of its
 * subscription.
 */
const PATIENCE_TICKS = 2;

/** Greater than the number of messages between two tickets. */
export const EARLY_COUNT = Number.MAX_SAFE_INTEGER;

/** The outcome of a command. */
export type Fate =
  /** Executed and answered. */
  | "done"
  /** Never arrives, and the sender does not know. */
  | "lost"
  /** Carried out, but the answer never arrives. */
  | "unanswered"
  /** Given up by the sender, and carried out afterwards. */
  | "late";

interface Connection {
  /** The next message that it delivers. */
  next: number;
  /** Set when it is cut: nothing at or after this place is delivered any more. */
  end?: number;
}

interface Received {
  publication: Publication;
  position: Position;
  /** The place of the message among those that this replica received. */
  arrival: number;
}

/** One replica, from its subscription to the commands that it sends. */
export class ReplicaModel {
  isUp = false;
  /** The connection; undefined while the replica knows that it is not subscribed. */
  connection: Connection | undefined;
  queue: Received[] = [];
  /** The ticket at which its unbroken subscription began. */
  began: number | undefined;
  // The newest update of each user of an event before the first ticket of this connection.
  #early = new Map<string, Omit<Received, "position">>();
  #generation: number | undefined;
  #count = 0;
  #newestTicket = 0;
  // Tickets of this connection, ascending.
  #tickets: { generation: number; arrival: number }[] = [];
  #ticksBelow = 0;
  #reconcile: Generator<void, void> | undefined;

  /**
   * @param outlasts whether the wait before a second reading was longer than the control plane needs for a user's key
   */
  constructor(
    readonly redis: RedisModel,
    readonly countsMalformed: boolean,
    readonly outlasts: (userId: string) => boolean,
  ) {}

  /** Starts the replica if it is down; subscribes if it is not subscribed. */
  connect(): void {
    this.isUp = true;
    this.connection ??= { next: this.redis.stream.length };
  }

  /** Kills the replica: it loses everything except commands that are on their way to Redis. */
  crash(): void {
    this.isUp = false;
    this.queue = [];
    this.#newestTicket = 0;
    this.#reconcile = undefined;
    this.interrupt();
  }

  /** Ends the subscription, and the replica notices. Updates that it received before are still applied. */
  interrupt(): void {
    this.connection = undefined;
    this.began = undefined;
    this.#early.clear();
    if (!this.redis.flaws.has("early messages taken")) this.#generation = undefined;
    this.#tickets = [];
    this.#ticksBelow = 0;
  }

  /** Cuts the connection. Some undelivered messages are still delivered. The replica notices the cut afterwards. */
  cut(undelivered: number): void {
    if (this.connection === undefined || this.connection.end !== undefined) return;
    this.connection.end = Math.max(this.connection.next, this.redis.stream.length - undelivered);
  }

  /** Receives the next message, or notices that the connection was cut. Returns false if neither happened. */
  receive(): boolean {
    const { connection } = this;
    if (connection === undefined) return false;
    if (connection.next >= (connection.end ?? this.redis.stream.length)) {
      if (connection.end === undefined) return false;
      this.interrupt();
      return true;
    }
    const arrival = connection.next++;
    const message = this.redis.stream[arrival];
    if (message === undefined) return false;
    switch (message.kind) {
      case "ticket":
        this.#placeEarly(message.generation);
        this.#generation = message.generation;
        this.#count = 0;
        this.began ??= message.generation;
        this.#newestTicket = Math.max(this.#newestTicket, message.generation);
        this.#tickets.push({ generation: message.generation, arrival });
        break;
      case "malformed":
        if (this.countsMalformed) this.#count++;
        break;
      case "update": {
        this.#count++;
        if (this.#generation === undefined) {
          const { eventId, userId } = message.publication;
          const key = `${eventId} ${userId}${this.redis.flaws.has("early messages all taken") ? arrival : ""}`;
          this.#early.delete(key);
          this.#early.set(key, { publication: message.publication, arrival });
          break;
        }
        const position = { generation: this.#generation, count: this.#count };
        this.queue.push({ publication: message.publication, position, arrival });
        break;
      }
    }
    return true;
  }

  /** Applies the oldest updates of one event, and repeats those without an answer. */
  apply(eventId: string, size: number, fate: Fate): void {
    const batch = this.queue.filter(({ publication }) => publication.eventId === eventId).slice(0, size);
    const execute = () => {
      for (const received of batch) this.#applyOne(received);
    };
    if (fate === "late") this.redis.inFlight.push(execute);
    if (fate === "done" || fate === "unanswered") execute();
    if (fate === "done" || this.redis.flaws.has("not repeated")) {
      this.queue = this.queue.filter((received) => !batch.includes(received));
    }
  }

  /** Drops a full queue and opens the subscription again. */
  overflow(eventId: string): void {
    if (!this.queue.some(({ publication }) => publication.eventId === eventId)) return;
    this.queue = this.queue.filter(({ publication }) => publication.eventId !== eventId);
    this.interrupt();
  }

  /**
   * Runs the probe: takes a ticket, raises the watermark as far as this replica has applied everything, and detects a
   * gap that no replica closes.
   */
  tick(): void {
    if (this.connection === undefined) return;
    this.redis.takeTicket();
    if (this.began === undefined) return;
    if (this.raiseWatermark() >= this.began) this.#ticksBelow = 0;
    else if (++this.#ticksBelow > PATIENCE_TICKS) this.reconcile();
  }

  /** Raises the watermark to the newest ticket before which everything received is applied. Returns the watermark. */
  raiseWatermark(): number {
    if (this.began === undefined) return 0;
    const isEager = this.redis.flaws.has("raised unapplied");
    const oldest = isEager ? Number.POSITIVE_INFINITY : Math.min(...this.queue.map(({ arrival }) => arrival));
    const ticket = this.#tickets.findLast(({ arrival }) => arrival < oldest);
    return this.redis.raiseWatermark(this.began, ticket?.generation ?? this.began);
  }

  /** Takes the next step of a reconcile, the first if none is under way. Returns false after the last. */
  reconcile(): boolean {
    this.#reconcile ??= this.#reconcileSteps();
    const { done } = this.#reconcile.next();
    if (done) this.#reconcile = undefined;
    return !done;
  }

  get isReconciling(): boolean {
    return this.#reconcile !== undefined;
  }

  *#reconcileSteps(): Generator<void, void> {
    const { redis, began } = this;
    const readEarly = redis.flaws.has("keys read first") ? new Map(redis.keys) : undefined;
    yield;
    const reconcile = redis.beginReconcile();
    yield;
    for (const userId of redis.listUsers()) {
      const entries = redis.readEntries(userId);
      let key = (readEarly ?? redis.keys).get(userId) ?? [];
      yield;
      const isShrunken = redis.channelsOf(userId).some((channelId) => !key.includes(channelId));
      if (isShrunken && readEarly === undefined && !redis.flaws.has("keys read once")) {
        while (!this.outlasts(userId)) yield;
        key = redis.keys.get(userId) ?? [];
        yield;
      }
      redis.reconcileUser(userId, entries, key, reconcile);
      yield;
    }
    redis.finishReconcile(reconcile, began);
    this.#ticksBelow = 0;
  }

  #placeEarly(generation: number): void {
    const isCounted = this.redis.flaws.has("early messages counted");
    const early = [...this.#early.values()].map((update, index) => {
      return { ...update, position: { generation: generation - 1, count: isCounted ? index + 1 : EARLY_COUNT } };
    });
    this.queue.push(...early);
    this.#early.clear();
  }

  #applyOne({ publication, position }: Received): void {
    const { redis } = this;
    const { status } = redis.apply(publication, position);
    if (status !== "stale" || !redis.flaws.has("lag taken for loss")) return;
    const member = redis.store.event(publication.eventId).members.get(publication.userId);
    if ((member?.position.generation ?? 0) > this.#newestTicket) redis.apply(publication, redis.takeTicket().position);
  }
}
