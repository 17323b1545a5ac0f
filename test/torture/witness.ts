import { Redis } from "ioredis";
import type { LogEntry } from "../../src/domain/change.js";
import { waitFor } from "../support/waitFor.js";
import { type Entry, type StoredEvent, textOf, type WitnessRecord } from "./history.js";

/** A user of Redis with all rights, so that CLIENT KILL can spare those who only look on. */
const WITNESS_USER = "witness";
/** Arguments of redis-server that bring that user about. */
export const WITNESS_ARGS = ["--user", WITNESS_USER, "on", "nopass", "~*", "&*", "+@all"];

const UPDATES = "vp:membership_updates";
const CHANGES = "squelch:*:changes";
const WRITE_ID = /^w\d+$/;

/** An entry of a log as histories have it; undefined if it is not about a membership. */
function entryOf(eventId: string, logged: LogEntry): Entry | undefined {
  if (logged.kind !== "membershipChanged") return undefined;
  const { epoch, revision, userId, channelIds, actor, action } = logged;
  return { eventId, epoch, revision, userId, channels: textOf(channelIds), writeId: writeIdOf(actor, action), actor };
}

/** The write that a change comes from: its path decides whether the actor or the action names it. */
export function writeIdOf(actor: string, action: string): string | undefined {
  return [actor, action].find((text) => WRITE_ID.test(text));
}

/**
 * Looks on from beside Redis, past all proxies: on one connection it is told everything that control planes publish and
 * everything that is appended to a log, in Redis's own order.
 */
export class Witness {
  readonly records: WitnessRecord[] = [];
  readonly #subscriptions: Redis;
  readonly #commands: Redis;
  #isStanding = false;

  constructor(port: number) {
    const options = { port, host: "127.0.0.1", username: WITNESS_USER, password: "any", retryStrategy: () => 20 };
    this.#commands = new Redis({ ...options, maxRetriesPerRequest: null });
    this.#subscriptions = new Redis({ ...options, autoResubscribe: false });
    for (const connection of [this.#commands, this.#subscriptions]) connection.on("error", () => undefined);
    this.#subscriptions.on("ready", () => void this.#subscribe());
    this.#subscriptions.on("close", () => {
      this.#isStanding = false;
    });
    this.#subscriptions.on("message", (_, message: string) => this.#seePublished(message));
    this.#subscriptions.on("pmessage", (_, channel: string, message: string) => this.#seeEntry(channel, message));
  }

  /** For reading Redis without being in the way of faults. */
  get redis(): Redis {
    return this.#commands;
  }

  /** Resolves when nothing can be missed from now on. */
  async standing(): Promise<void> {
    await waitFor(() => this.#isStanding, { timeoutMs: 15_000, message: "the witness to be subscribed" });
  }

  /** What Redis knew only after the first `backTo` records is gone, or may be gone. */
  noteLoss(backTo: number, { isCertain = true } = {}): void {
    this.records.push({ kind: "lost", at: performance.now(), backTo, isCertain });
  }

  async readEvent(eventId: string): Promise<StoredEvent> {
    const prefix = `squelch:{${eventId}}:`;
    const [meta, members, rows] = await Promise.all([
      this.#commands.hmget(`${prefix}meta`, "epoch", "revision"),
      this.#commands.hgetall(`${prefix}members`),
      this.#commands.xrange(`${prefix}log`, "-", "+"),
    ]);
    const entries = rows.map(([, fields]) => entryOf(eventId, JSON.parse(fields[1] as string) as LogEntry));
    return {
      epoch: meta[0] ?? "",
      revision: Number(meta[1] ?? 0),
      members: new Map(Object.entries(members).map(([userId, json]) => [userId, memberOf(json)])),
      log: entries.filter((entry) => entry !== undefined),
    };
  }

  /** The sets that the control plane keeps, of the users who have one. */
  async readKeys(userIds: readonly string[]): Promise<Map<string, string>> {
    const sets = await Promise.all(userIds.map((userId) => this.#commands.smembers(`u.${userId}.g`)));
    return new Map(userIds.map((userId, index) => [userId, textOf(sets[index] ?? [])]));
  }

  close(): void {
    this.#commands.disconnect();
    this.#subscriptions.disconnect();
  }

  async #subscribe(): Promise<void> {
    try {
      await this.#subscriptions.subscribe(UPDATES);
      await this.#subscriptions.psubscribe(CHANGES);
      this.#isStanding = true;
    } catch {
      // The connection broke; it is ready again later.
    }
  }

  #seePublished(message: string): void {
    let action: unknown;
    try {
      action = (JSON.parse(message) as { action?: unknown } | null)?.action;
    } catch {
      return;
    }
    if (typeof action !== "string" || !WRITE_ID.test(action)) return;
    this.records.push({ kind: "published", at: performance.now(), writeId: action });
  }

  #seeEntry(channel: string, message: string): void {
    const eventId = /^squelch:\{(.*)\}:changes$/.exec(channel)?.[1] as string;
    const entry = entryOf(eventId, JSON.parse(message) as LogEntry);
    if (entry !== undefined) this.records.push({ kind: "entry", at: performance.now(), entry });
  }
}

function memberOf(json: string) {
  const { c, p } = JSON.parse(json) as { c: string[]; p: string };
  const [generation, count] = p.split("-").map(Number);
  return { channels: textOf(c), position: { generation: generation ?? 0, count: count ?? 0 } };
}
