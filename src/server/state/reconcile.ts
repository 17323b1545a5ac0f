import { setImmediate as nextTurn, setTimeout as sleep } from "node:timers/promises";
import { isUnavailable, type MembershipLimit } from "../../domain/errors.js";
import { idProblem } from "../../domain/id.js";
import type { Engine } from "../../domain/ports/engine.js";
import type { MembershipUpdate } from "../../domain/ports/membershipStore.js";
import type { ControlPlane } from "../../engine/redis/ingest/controlPlane.js";
import { batchesOf } from "../../lib/batchesOf.js";
import { type AssignedEntry, judgeUser } from "./reconcileRules.js";

/** How long the control plane may take between DEL and SADD, ms. */
const REREAD_MS = 250;
/** Updates that are applied in one step. */
const MAX_BATCH = 100;
/** Users who are judged in one turn of the event loop, so that other calls are not held up. */
const USERS_PER_TURN = 1_000;

export interface ReconcileOptions {
  /** Stops the reconcile between two of its steps. What is written by then stays. */
  signal: AbortSignal;
  /** The users to compare; all by default. */
  userIds?: readonly string[];
  /** Told of each user of whom nothing could be said. */
  onAmbiguous(userId: string, reason: string): void;
  /** Told of each user whom a limit kept channels from. */
  onOverLimit(userId: string, eventId: string, limit: MembershipLimit): void;
}

/** What a reconcile came to. */
export interface ReconcileOutcome {
  /** The ticket that it stands for: what was published before it and missed is made up for, as far as the keys tell. */
  generation: number;
  /** Users whose keys or entries were compared. */
  compared: number;
  /** Users whose channels changed. */
  changed: number;
  /** Users of whom nothing could be said. */
  ambiguous: number;
}

/**
 * Makes up for updates that may have been missed, by comparing the state with the control plane's keys. The ticket is
 * taken first and every difference is written at its position, so that whatever is newer wins by itself; a write over
 * RPC is left alone. Rejects with `unavailable`; to be repeated then. Rejects with the reason of the signal if that is aborted.
 */
export async function reconcile(
  engine: Engine,
  controlPlane: ControlPlane,
  { signal, userIds: wanted, onAmbiguous, onOverLimit }: ReconcileOptions,
): Promise<ReconcileOutcome> {
  const generation = await controlPlane.takeTicket();
  const entries = await readEntries(engine, controlPlane, wanted, signal);
  const userIds = wanted ?? [...new Set([...entries.keys(), ...(await controlPlane.listUsers(signal))])];
  const sets = await readSets(controlPlane, userIds, entries, signal);
  const channelIds = distinct(sets.values());
  const owners = await controlPlane.readChannelEvents(channelIds);
  const eventOf = new Map(channelIds.map((channelId, index) => [channelId, owners[index]]));

  const outcome: ReconcileOutcome = { generation, compared: userIds.length, changed: 0, ambiguous: 0 };
  const updates = new Map<string, MembershipUpdate[]>();
  for (const [index, userId] of userIds.entries()) {
    if (index % USERS_PER_TURN === USERS_PER_TURN - 1) {
      await nextTurn();
      signal.throwIfAborted();
    }
    const verdict = judgeUser(sets.get(userId) ?? [], (id) => eventOf.get(id), entries.get(userId) ?? []);
    if (verdict.kind === "ambiguous") {
      outcome.ambiguous++;
      onAmbiguous(userId, verdict.reason);
    } else if (verdict.kind === "write") {
      const { eventId, channelIds } = verdict;
      const position = { generation, count: 0 };
      const update = { userId, channelIds, action: "reconcile", actor: "reconcile", position, isReconciled: true };
      add(updates, eventId, update);
    }
  }
  const apply = async (eventId: string, all: readonly MembershipUpdate[]) => {
    for (const batch of batchesOf(all, MAX_BATCH)) {
      signal.throwIfAborted();
      const outcomes = await engine.applyMemberships(eventId, batch);
      for (const [index, { overLimit }] of outcomes.entries()) {
        if (overLimit !== undefined) onOverLimit(batch[index]?.userId ?? "", eventId, overLimit);
      }
      outcome.changed += outcomes.filter(({ status }) => status === "changed").length;
    }
  };
  // An event that the store refuses to write delays no other.
  const failures: unknown[] = [];
  for (const [eventId, all] of updates) {
    try {
      await apply(eventId, all);
    } catch (error) {
      if (isUnavailable(error)) throw error;
      failures.push(error);
    }
  }
  if (failures.length > 0) throw failures[0];
  return outcome;
}

function add<T>(lists: Map<string, T[]>, key: string, item: T): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [item]);
  else list.push(item);
}

async function readEntries(
  engine: Engine,
  controlPlane: ControlPlane,
  userIds: readonly string[] | undefined,
  signal: AbortSignal,
): Promise<Map<string, AssignedEntry[]>> {
  const byUser = new Map<string, AssignedEntry[]>();
  const read = async (eventId: string) => {
    signal.throwIfAborted();
    for (const { userId, ...entry } of await controlPlane.readEntries(eventId, userIds)) {
      add(byUser, userId, { eventId, ...entry });
    }
  };
  const eventIds = await engine.listEvents();
  // A few users are asked for in all events at once; whole events come one after the other.
  if (userIds !== undefined) await Promise.all(eventIds.map(read));
  else for (const eventId of eventIds) await read(eventId);
  return byUser;
}

// A set is read again if it is empty or lacks a channel that the user has: the control plane may be between DEL and SADD.
// What is no id cannot have come from an update either.
async function readSets(
  controlPlane: ControlPlane,
  userIds: readonly string[],
  entries: ReadonlyMap<string, readonly AssignedEntry[]>,
  signal: AbortSignal,
): Promise<Map<string, string[]>> {
  const sets = new Map<string, string[]>();
  // Returns those whose set is to be read again.
  const read = async (users: readonly string[]) => {
    const doubtful: string[] = [];
    for (const batch of batchesOf(users, USERS_PER_TURN)) {
      signal.throwIfAborted();
      const slice = batch.filter((userId) => idProblem(userId) === undefined);
      const assigned = await controlPlane.readAssignedChannels(slice);
      for (const [index, userId] of slice.entries()) {
        const set = (assigned[index] ?? []).filter((channelId) => idProblem(channelId) === undefined);
        sets.set(userId, set);
        const hasLost = entries.get(userId)?.some(({ channelIds }) => lacksSome(set, channelIds)) ?? false;
        if (set.length === 0 || hasLost) doubtful.push(userId);
      }
    }
    return doubtful;
  };
  const doubtful = await read(userIds);
  if (doubtful.length > 0) {
    await sleep(REREAD_MS);
    await read(doubtful);
  }
  return sets;
}

function lacksSome(set: readonly string[], channelIds: readonly string[]): boolean {
  const has = new Set(set);
  return channelIds.some((channelId) => !has.has(channelId));
}

function distinct(lists: Iterable<readonly string[]>): string[] {
  const items = new Set<string>();
  for (const list of lists) for (const item of list) items.add(item);
  return [...items];
}
