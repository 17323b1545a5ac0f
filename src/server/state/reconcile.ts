import { setImmediate as nextTurn, setTimeout as sleep } from "node:timers/promises";
import { isUnavailable, type MembershipLimit } from "../../domain/errors.js";
import { idProblem } from "../../domain/id.js";
import type { Engine } from "../../domain/ports/engine.js";
import type { MembershipUpdate } from "../../domain/ports/membershipStore.js";
import type { ControlPlane } from "../../engine/redis/ingest/controlPlane.js";
import { batchesOf } from "../../lib/batchesOf.js";
import { type AssignedEntry, judgeUser } from "./reconcileRules.js";

/** The longest time that the control plane may take between DEL and SADD, ms. */
const REREAD_MS = 250;
/** The most updates that are applied in one step. */
const MAX_BATCH = 100;
/** The number of users that one turn of the event loop compares, so that other calls are not delayed. */
const USERS_PER_TURN = 1_000;

export interface ReconcileOptions {
  /** Stops the reconcile between two of its steps. Changes that were written before remain. */
  signal: AbortSignal;
  /** The users to compare; all by default. */
  userIds?: readonly string[];
  /** Resolves when the updates that were received before the ticket are applied. Rejects with `unavailable`. */
  awaitApplied(ticket: number): Promise<void>;
  /** Called for each user for whom the keys give no clear answer. */
  onAmbiguous(userId: string, reason: string): void;
  /** Called for each user who did not get all channels because of a limit. */
  onOverLimit(userId: string, eventId: string, limit: MembershipLimit): void;
}

/** The result of a reconcile. */
export interface ReconcileOutcome {
  /**
   * The ticket of the reconcile: updates that were published before it and missed are repaired, as far as the keys
   * allow.
   */
  generation: number;
  /** Users whose keys or entries were compared. */
  compared: number;
  /** Users whose channels changed. */
  changed: number;
  /** Users for whom the keys gave no clear answer. */
  ambiguous: number;
}

/**
 * Repairs updates that may have been missed, by comparing the state with the control plane's keys. It takes the ticket
 * first and writes every difference at that position, so that newer writes win. It does not change a membership that
 * was last written over RPC. Rejects with `unavailable` if Redis cannot be reached; the caller then repeats it. Rejects
 * with the reason of the signal when it is aborted.
 */
export async function reconcile(
  engine: Engine,
  controlPlane: ControlPlane,
  { signal, userIds: wanted, awaitApplied, onAmbiguous, onOverLimit }: ReconcileOptions,
): Promise<ReconcileOutcome> {
  const generation = await controlPlane.takeTicket();
  // Otherwise a write at the ticket would make them outdated, also if the set is older than they are.
  await awaitApplied(generation);
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
  // An event that the store cannot write does not delay other events.
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
  // A few users are read in all events at once. Whole events are read one after the other.
  if (userIds !== undefined) await Promise.all(eventIds.map(read));
  else for (const eventId of eventIds) await read(eventId);
  return byUser;
}

// A set is read again if it is empty or lacks a channel that the user has: the control plane may be between DEL and
// SADD. Invalid ids are ignored, because they cannot have come from an update either.
async function readSets(
  controlPlane: ControlPlane,
  userIds: readonly string[],
  entries: ReadonlyMap<string, readonly AssignedEntry[]>,
  signal: AbortSignal,
): Promise<Map<string, string[]>> {
  const sets = new Map<string, string[]>();
  // Returns the users whose set is to be read again.
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
