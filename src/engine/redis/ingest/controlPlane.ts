import { randomBytes } from "node:crypto";
import { comparePositions, type Position } from "../../../domain/cursor.js";
import { batchesOf } from "../../../lib/batchesOf.js";
import { attempt } from "../connection/connections.js";
import type { CommandConnection } from "../connection/openConnection.js";
import { assignedChannelsKey, CHANNEL_EVENTS, eventKeys, INGEST_APPLIED, userOfAssignedChannelsKey } from "../keys.js";
import type { RedisLink } from "../redisLink.js";
import type { StoredMember } from "../stores/logStore.js";

/** What the state says of a user in one event, as far as a reconcile needs it. */
export interface ControlPlaneEntry {
  userId: string;
  channelIds: string[];
  /** True if the newest write came over RPC, by name or by a sync of the whole event. */
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
  /**
   * Raises the watermark to the ticket `to`, if that of an unbroken subscription, `from`, is not above it. Returns the
   * watermark as it now is; 0 if there is none.
   */
  raiseWatermark(from: number, to: number): Promise<number>;
  /** The id of the watermark, which is made if there is none; to be read before a reconcile. */
  openWatermark(): Promise<string>;
  /** Raises the watermark to a ticket before which a reconcile has made up for everything, if it is still that one. */
  closeGap(watermarkId: string, to: number): Promise<void>;
  /** The users who have a set of channels. The scan stops when `signal` is aborted, and rejects with its reason. */
  listUsers(signal: AbortSignal): Promise<string[]>;
  /** The sets of these users, in their order; empty where there is none. */
  readAssignedChannels(userIds: readonly string[]): Promise<string[][]>;
  /** The entries of an event, or of these users alone. */
  readEntries(eventId: string, userIds?: readonly string[]): Promise<ControlPlaneEntry[]>;
  /** The events that these channels belong to, in their order. */
  readChannelEvents(channelIds: readonly string[]): Promise<(string | undefined)[]>;
}

/**
 * @param state the Redis of the state
 * @param source the one to which the control plane publishes, which may be the same
 */
export function createControlPlane(
  state: CommandConnection,
  source: Pick<RedisLink, "connections" | "run" | "tickets">,
): ControlPlane {
  const { run, tickets } = source;
  const { commands } = source.connections;

  async function inBatches<T, R>(items: readonly T[], read: (batch: readonly T[]) => Promise<R[]>): Promise<R[]> {
    const results: R[] = [];
    for (const batch of batchesOf(items, READ_BATCH)) results.push(...(await attempt(read(batch))));
    return results;
  }

  async function readMembers(key: string, userIds: readonly string[]): Promise<Record<string, string>> {
    const members = await state.hmget(key, ...userIds);
    const known = userIds.flatMap((userId, index) => {
      const json = members[index];
      return json ? [[userId, json] as const] : [];
    });
    return Object.fromEntries(known);
  }

  return {
    takeTicket: (atLeast) => tickets.take(atLeast),

    raiseWatermark: async (from, to) => (await run("raise-watermark", [INGEST_APPLIED], [to, from, ""])) as number,

    async openWatermark() {
      const id = randomBytes(9).toString("base64url");
      await attempt(commands.hsetnx(INGEST_APPLIED, "id", id));
      // One that was lost in between is not the one that somebody may make later.
      return (await attempt(commands.hget(INGEST_APPLIED, "id"))) ?? id;
    },

    async closeGap(watermarkId, to) {
      await run("raise-watermark", [INGEST_APPLIED], [to, 0, watermarkId]);
    },

    async listUsers(signal) {
      const users = new Set<string>();
      let cursor = "0";
      do {
        signal.throwIfAborted();
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

    async readEntries(eventId, userIds) {
      const keys = eventKeys(eventId);
      const members = userIds === undefined ? state.hgetall(keys.members) : readMembers(keys.members, userIds);
      // The floor after the members: a sync that comes between the two speaks for all of them.
      const [stored, floor] = await attempt(Promise.all([members, state.hget(keys.meta, "floor")]));
      return Object.entries(stored).map(([userId, json]) => {
        const { c, p, o, k }: StoredMember = JSON.parse(json);
        const isSynced = floor !== null && comparePositions(parsePosition(p), parsePosition(floor)) <= 0;
        return { userId, channelIds: c, isByRpc: o === 1 || isSynced, wasKeySeen: k === 1 };
      });
    },

    readChannelEvents: (channelIds) =>
      inBatches(channelIds, async (batch) => {
        const owners = await state.hmget(CHANNEL_EVENTS, ...batch);
        return owners.map((owner) => owner ?? undefined);
      }),
  };
}

function parsePosition(text: string): Position {
  const [generation = 0, count = 0] = text.split("-").map(Number);
  return { generation, count };
}
