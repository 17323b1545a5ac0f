import { type Cluster, Redis } from "ioredis";
import type { LogEntry } from "../../../src/domain/change.js";
import { waitFor } from "../../support/waitFor.js";
import { type Entry, type StoredEvent, textOf, type WitnessRecord } from "./history.js";

const UPDATES = "vp:membership_updates";
const CHANGES = "squelch:*:changes";
const WRITE_ID = /^w\d+$/;

/** Converts a log entry to the format of histories; undefined if it does not concern a membership. */
function entryOf(eventId: string, logged: LogEntry): Entry | undefined {
  if (logged.kind !== "membershipChanged") return undefined;
  const { epoch, revision, userId, channelIds, actor, action } = logged;
  return { eventId, epoch, revision, userId, channels: textOf(channelIds), writeId: writeIdOf(actor, action), actor };
}

/** The write that a change comes from: its path decides whether the actor or the action names it. */
export function writeIdOf(actor: string, action: string): string | undefined {
  return [actor, action].find((text) => WRITE_ID.test(text));
}

/** The servers that a witness watches. */
export interface WitnessOptions {
  /**
   * Servers of which at least one receives every published message, always in the same order. So the first receipts are
   * in that order too.
   */
  servers: readonly { port: number; username?: string; password?: string }[];
  /** The connection for reading the events. The witness closes it. */
  events: Redis | Cluster;
  /** The connection for reading the data that the control plane and the replicas share. The witness closes it. */
  controlPlane: Redis;
}

/**
 * Records from outside the fleet, without proxies, every message that control planes publish and every entry that is
 * appended to a log, in Redis's own order.
 */
export class Witness {
  readonly records: WitnessRecord[] = [];
  readonly #events: Redis | Cluster;
  readonly #controlPlane: Redis;
  readonly #subscriptions: Redis[];
  readonly #standing = new Set<Redis>();
  // The keys of the present records, so that each is recorded once.
  readonly #seen = new Set<string>();

  constructor({ servers, events, controlPlane }: WitnessOptions) {
    this.#events = events;
    this.#controlPlane = controlPlane;
    for (const connection of [events, controlPlane]) connection.on("error", () => undefined);
    this.#subscriptions = servers.map((server) => this.#listenTo(server));
  }

  /** A connection to read Redis without disturbing faults. */
  get redis(): Redis {
    return this.#controlPlane;
  }

  /** Resolves when it is subscribed on all servers, so that it misses nothing. */
  async standing(): Promise<void> {
    const isStanding = () => this.#standing.size === this.#subscriptions.length;
    await waitFor(isStanding, { timeoutMs: 15_000, message: "the witness to be subscribed" });
  }

  /** Returns the number of the first record that is younger than this, ms. */
  orderBefore(ms: number): number {
    const since = performance.now() - ms;
    return this.records.findLastIndex(({ at }) => at < since) + 1;
  }

  /** The data of Redis after the first `backTo` records is lost, or may be lost. */
  noteLoss(backTo: number, { isCertain = true } = {}): void {
    this.records.push({ kind: "lost", at: performance.now(), backTo, isCertain });
  }

  async readEvent(eventId: string): Promise<StoredEvent> {
    const prefix = `squelch:{${eventId}}:`;
    const [meta, members, rows] = await Promise.all([
      this.#events.hmget(`${prefix}meta`, "epoch", "revision"),
      this.#events.hgetall(`${prefix}members`),
      this.#events.xrange(`${prefix}log`, "-", "+"),
    ]);
    const entries = rows.map(([, fields]) => entryOf(eventId, JSON.parse(fields[1] as string) as LogEntry));
    return {
      epoch: meta[0] ?? "",
      revision: Number(meta[1] ?? 0),
      members: new Map(Object.entries(members).map(([userId, json]) => [userId, memberOf(json)])),
      log: entries.filter((entry) => entry !== undefined),
    };
  }

  /** Reads the sets of the control plane, for users that have one. */
  async readKeys(userIds: readonly string[]): Promise<Map<string, string>> {
    const sets = await Promise.all(userIds.map((userId) => this.#controlPlane.smembers(`u.${userId}.g`)));
    return new Map(userIds.map((userId, index) => [userId, textOf(sets[index] ?? [])]));
  }

  close(): void {
    for (const connection of [this.#events, this.#controlPlane, ...this.#subscriptions]) connection.disconnect();
  }

  #listenTo(server: WitnessOptions["servers"][number]): Redis {
    const { port, username, password } = server;
    const credentials = username === undefined || password === undefined ? {} : { username, password };
    const connection = new Redis({ port, ...credentials, autoResubscribe: false, retryStrategy: () => 20 });
    connection.on("error", () => undefined);
    connection.on("ready", () => void this.#subscribe(connection));
    connection.on("close", () => this.#standing.delete(connection));
    connection.on("message", (_, message: string) => this.#seePublished(message));
    connection.on("pmessage", (_, channel: string, message: string) => this.#seeEntry(channel, message));
    return connection;
  }

  async #subscribe(connection: Redis): Promise<void> {
    try {
      await connection.subscribe(UPDATES);
      await connection.psubscribe(CHANGES);
      this.#standing.add(connection);
    } catch {
      // The connection broke; it is ready again later.
    }
  }

  #isNew(key: string): boolean {
    if (this.#seen.has(key)) return false;
    this.#seen.add(key);
    return true;
  }

  #seePublished(message: string): void {
    let action: unknown;
    try {
      action = (JSON.parse(message) as { action?: unknown } | null)?.action;
    } catch {
      return;
    }
    if (typeof action !== "string" || !WRITE_ID.test(action) || !this.#isNew(action)) return;
    this.records.push({ kind: "published", at: performance.now(), writeId: action });
  }

  #seeEntry(channel: string, message: string): void {
    const eventId = /^squelch:\{(.*)\}:changes$/.exec(channel)?.[1] as string;
    for (const parsed of [JSON.parse(message) as LogEntry | LogEntry[]].flat()) {
      const entry = entryOf(eventId, parsed);
      if (entry === undefined || !this.#isNew(`${eventId} ${entry.epoch} ${entry.revision}`)) continue;
      this.records.push({ kind: "entry", at: performance.now(), entry });
    }
  }
}

function memberOf(json: string) {
  const { c, p } = JSON.parse(json) as { c: string[]; p: string };
  const [generation, count] = p.split("-").map(Number);
  return { channels: textOf(c), position: { generation: generation ?? 0, count: count ?? 0 } };
}
