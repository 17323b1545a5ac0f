import type { Redis } from "ioredis";
import { attempt } from "./connections.js";
import { assignedChannelsKey, CHANNEL_EVENTS, eventKeys, INGEST_APPLIED, userOfAssignedChannelsKey } from "./keys.js";
import type { StoredMember } from "./logStore.js";
import type { RunScript } from "./scripts.js";
import type { Tickets } from "./tickets.js";

/** What the state says of a user in one event, as far as a reconcile needs it. */
export interface ControlPlaneEntry {
  userId: string;
  channelIds: string[];
  /** True if the newest write came over RPC. */
  isByRpc: boolean;
  /** True if a reconcile has found the control plane's key of this user. */
  wasKeySeen: boolean;
}

/** How many keys one step of a scan looks at. */
const SCAN_COUNT = 1_000;
/** How many sets or owners are read in one round trip. */
const READ_BATCH = 500;

/**
 * What the control plane keeps in Redis beside publishing: weak evidence, since a user's set holds the channels of the
 * event last recomputed only, and is replaced in two steps. Each call rejects with `unavailable` if Redis cannot be
 * reached.
 */
export interface ControlPlane {
  /** A new ticket, at least that high, published in the order of the updates. */
  takeTicket(atLeast?: number): Promise<number>;
  /** Raises the watermark as `raise-watermark` says; returns it as it now is. */
  raiseWatermark(from: number, to: number): Promise<number>;
  /** The users who have a set of channels. */
  listUsers(): Promise<string[]>;
  /** The sets of these users, in their order; empty where there is none. */
  readAssignedChannels(userIds: readonly string[]): Promise<string[][]>;
  /** The entries of all users of an event. */
  readEntries(eventId: string): Promise<ControlPlaneEntry[]>;
  /** The events that these channels belong to, in their order. */
  readChannelEvents(channelIds: readonly string[]): Promise<(string | undefined)[]>;
}

export function createControlPlane(commands: Redis, run: RunScript, tickets: Tickets): ControlPlane {
  async function inBatches<T, R>(items: readonly T[], read: (batch: readonly T[]) => Promise<R[]>): Promise<R[]> {
    const results: R[] = [];
    for (let first = 0; first < items.length; first += READ_BATCH) {
      results.push(...(await attempt(read(items.slice(first, first + READ_BATCH)))));
    }
    return results;
  }

  return {
    takeTicket: (atLeast) => tickets.take(atLeast),

    raiseWatermark: async (from, to) => (await run("raise-watermark", [INGEST_APPLIED], [from, to])) as number,

    async listUsers() {
      const users = new Set<string>();
      let cursor = "0";
      do {
        const [next, keys] = await attempt(
          commands.scan(cursor, "MATCH", assignedChannelsKey("*"), "COUNT", SCAN_COUNT, "TYPE", "set"),
        );
        for (const key of keys) users.add(userOfAssignedChannelsKey(key));
        cursor = next;
      } while (cursor !== "0");
      return [...users];
    },

    readAssignedChannels: (userIds) =>
      inBatches(userIds, (batch) => Promise.all(batch.map((userId) => commands.smembers(assignedChannelsKey(userId))))),

    async readEntries(eventId) {
      const members = await attempt(commands.hgetall(eventKeys(eventId).members));
      return Object.entries(members).map(([userId, json]) => {
        const { c, o, k }: StoredMember = JSON.parse(json);
        return { userId, channelIds: c, isByRpc: o === 1, wasKeySeen: k === 1 };
      });
    },

    readChannelEvents: (channelIds) =>
      inBatches(channelIds, async (batch) => {
        const owners = await commands.hmget(CHANNEL_EVENTS, ...batch);
        return owners.map((owner) => owner ?? undefined);
      }),
  };
}
