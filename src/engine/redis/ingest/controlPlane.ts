import { randomBytes } from "node:crypto";
import { comparePositions, type Position } from "../../../domain/cursor.js";
import { batchesOf } from "../../../lib/batchesOf.js";
import { attempt } from "../connection/connections.js";
import type { CommandConnection } from "../connection/openConnection.js";
import {
  assignedChannelsKey,
  CHANNEL_EVENTS,
  eventKeys,
  INGEST_APPLIED,
  POSITION_FLOOR_FIELD,
  userOfAssignedChannelsKey,
} from "../keys.js";
import type { RedisLink } from "../redisLink.js";
import type { StoredMember } from "../stores/logStore.js";

/** The state of a user in one event, as far as a reconcile needs it. */
export interface ControlPlaneEntry {
  userId: string;
  channelIds: string[];
  /** True if the newest write came over RPC, for this user alone or in a sync of the whole event. */
  isByRpc: boolean;
  /** True if a reconcile has found the control plane's key of this user. */
  wasKeySeen: boolean;
  /** Digest of the control plane's set, if the set was older than the newest write. */
  staleKey?: string;
}

/** How long a claim of a reconcile lasts if its replica does not complete it, ms. */
const CLAIM_MS = 10_000;
/** The number of keys that one step of a scan examines. */
const SCAN_COUNT = 1_000;
/** The number of sets or owners that one round trip reads. */
const READ_BATCH = 500;

/**
 * Reads and writes the data that the control plane keeps in Redis besides its messages. This is weak evidence: a user's set holds
 * only the channels of the event that was recomputed last, and it is replaced in two steps. Each call rejects with
 * `unavailable` if Redis cannot be reached.
 */
export interface ControlPlane {
  /** Takes a new ticket of at least that number and publishes it in the order of the updates. */
  takeTicket(atLeast?: number): Promise<number>;
  /**
   * Raises the watermark to the ticket `to`, if the watermark is not below `from`, where the unbroken subscription
   * began. Returns the current watermark; 0 if none exists.
   */
  raiseWatermark(from: number, to: number): Promise<number>;
  /** Returns the id of the watermark, and creates the watermark if none exists. Read it before a reconcile. */
  openWatermark(): Promise<string>;
  /**
   * Raises the watermark to a ticket after a reconcile has repaired everything before that ticket. Does nothing if the
   * watermark has another id by then.
   */
  closeGap(watermarkId: string, to: number): Promise<void>;
  /** Returns the newest ticket that this replica knows of; 0 if none. */
  newestTicket(): number;
  /**
   * Claims the reconcile that was requested when `requestedAt` was the newest ticket, so that only one replica runs it.
   * Returns `claimed` if the caller should run it, `wait` while another replica reconciles, and `done` if another
   * replica has completed one at a later ticket. A claim lasts 10 s.
   */
  claimReconcile(requestedAt: number): Promise<"claimed" | "wait" | "done">;
  /** Notes that this replica has completed a reconcile of all users at a ticket, and ends its claim. */
  noteReconciled(ticket: number): Promise<void>;
  /**
   * Lists the users who have a set of channels. The scan stops when `signal` is aborted, and rejects with its reason.
   */
  listUsers(signal: AbortSignal): Promise<string[]>;
  /** Reads the sets of these users, in their order; a set is empty if there is no key. */
  readAssignedChannels(userIds: readonly string[]): Promise<string[][]>;
  /** Reads the entries of an event, or only those of the given users. */
  readEntries(eventId: string, userIds?: readonly string[]): Promise<ControlPlaneEntry[]>;
  /** Reads the events that own these channels, in their order. */
  readChannelEvents(channelIds: readonly string[]): Promise<(string | undefined)[]>;
}

/**
 * @param state the Redis of the state
 * @param source the Redis to which the control plane publishes, possibly the same
 */
export function createControlPlane(
  state: CommandConnection,
  source: Pick<RedisLink, "connections" | "run" | "tickets">,
): ControlPlane {
  const { run, tickets } = source;
  const { commands } = source.connections;
  const claimer = randomBytes(9).toString("base64url");

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
      // If the watermark was lost meanwhile, a new one must not be mistaken for it.
      return (await attempt(commands.hget(INGEST_APPLIED, "id"))) ?? id;
    },

    async closeGap(watermarkId, to) {
      await run("raise-watermark", [INGEST_APPLIED], [to, 0, watermarkId]);
    },

    newestTicket: () => tickets.newest,

    async claimReconcile(requestedAt) {
      const args = [claimer, requestedAt, CLAIM_MS, 0];
      return (await run("claim-reconcile", [INGEST_APPLIED], args)) as "claimed" | "wait" | "done";
    },

    async noteReconciled(ticket) {
      await run("claim-reconcile", [INGEST_APPLIED], [claimer, ticket, 0, ticket]);
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
      // Read after the members: a sync that comes between the two counts for all of them.
      const lowestPosition = state.hget(keys.meta, POSITION_FLOOR_FIELD);
      const [stored, positionFloor] = await attempt(Promise.all([members, lowestPosition]));
      return Object.entries(stored).map(([userId, json]) => {
        const { c, p, o, k, d }: StoredMember = JSON.parse(json);
        const isSynced =
          positionFloor !== null && comparePositions(parsePosition(p), parsePosition(positionFloor)) <= 0;
        return {
          userId,
          channelIds: c,
          isByRpc: o === 1 || isSynced,
          wasKeySeen: k === 1,
          ...(d !== undefined && { staleKey: d }),
        };
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
