import { setTimeout as sleep } from "node:timers/promises";
import { idProblem } from "../../domain/id.js";
import type { Engine, MembershipUpdate } from "../../domain/ports.js";
import type { ControlPlane } from "../../engine/redis/controlPlane.js";
import type { Logger } from "../../lib/logger.js";
import { type AssignedEntry, judgeUser } from "./reconcileRules.js";

/** How long the control plane may take between DEL and SADD, ms. */
const REREAD_MS = 250;
/** Updates that are applied in one step. */
const MAX_BATCH = 100;

/** What a reconcile came to. */
export interface ReconcileOutcome {
  /** The ticket that it stands for: what was published before it and missed is made up for, as far as the keys tell. */
  generation: number;
  /** Users whose keys or entries were compared. */
  compared: number;
  /** Users whose channels changed. */
  changed: number;
  /** Users of whom nothing could be said; each is logged. */
  ambiguous: number;
}

/**
 * Makes up for updates that may have been missed, by comparing the state with the control plane's keys. The ticket is
 * taken first and every difference is written at its position, so that whatever is newer wins by itself; a write over
 * RPC is left alone. Rejects with `unavailable`; to be repeated then.
 */
export async function reconcile(engine: Engine, controlPlane: ControlPlane, logger: Logger): Promise<ReconcileOutcome> {
  const generation = await controlPlane.takeTicket();
  const entries = await readEntries(engine, controlPlane);
  const userIds = [...new Set([...entries.keys(), ...(await controlPlane.listUsers())])];
  const sets = await readSets(controlPlane, userIds, entries);
  const channelIds = [...new Set([...sets.values()].flat())];
  const owners = await controlPlane.readChannelEvents(channelIds);
  const eventOf = new Map(channelIds.map((channelId, index) => [channelId, owners[index]]));

  const outcome: ReconcileOutcome = { generation, compared: userIds.length, changed: 0, ambiguous: 0 };
  const updates = new Map<string, MembershipUpdate[]>();
  for (const userId of userIds) {
    const verdict = judgeUser(sets.get(userId) ?? [], (id) => eventOf.get(id), entries.get(userId) ?? []);
    if (verdict.kind === "ambiguous") {
      outcome.ambiguous++;
      logger.info({ userId, reason: verdict.reason }, "user left as it is");
    } else if (verdict.kind === "write") {
      const position = { generation, count: 0 };
      const update = { userId, channelIds: verdict.channelIds, action: "reconcile", actor: "reconcile", position };
      updates.set(verdict.eventId, [...(updates.get(verdict.eventId) ?? []), { ...update, isReconciled: true }]);
    }
  }
  for (const [eventId, all] of updates) {
    for (let first = 0; first < all.length; first += MAX_BATCH) {
      const outcomes = await engine.applyMemberships(eventId, all.slice(first, first + MAX_BATCH));
      outcome.changed += outcomes.filter(({ status }) => status === "changed").length;
    }
  }
  logger.info(outcome, "reconciled with the control plane's keys");
  return outcome;
}

async function readEntries(engine: Engine, controlPlane: ControlPlane): Promise<Map<string, AssignedEntry[]>> {
  const byUser = new Map<string, AssignedEntry[]>();
  for (const eventId of await engine.listEvents()) {
    for (const { userId, ...entry } of await controlPlane.readEntries(eventId)) {
      byUser.set(userId, [...(byUser.get(userId) ?? []), { eventId, ...entry }]);
    }
  }
  return byUser;
}

// A set is read again if it is empty or has shrunk: the control plane may be between DEL and SADD. What is no id cannot
// have come from an update either.
async function readSets(
  controlPlane: ControlPlane,
  userIds: readonly string[],
  entries: ReadonlyMap<string, readonly AssignedEntry[]>,
): Promise<Map<string, string[]>> {
  const valid = userIds.filter((userId) => idProblem(userId) === undefined);
  const read = async (users: readonly string[]) => {
    const sets = await controlPlane.readAssignedChannels(users);
    return users.map(
      (userId, index) => [userId, (sets[index] ?? []).filter((id) => idProblem(id) === undefined)] as const,
    );
  };
  const sets = new Map(await read(valid));
  const doubtful = valid.filter((userId) => {
    const known = Math.max(0, ...(entries.get(userId) ?? []).map(({ channelIds }) => channelIds.length));
    return (sets.get(userId)?.length ?? 0) < Math.max(known, 1);
  });
  if (doubtful.length > 0) {
    await sleep(REREAD_MS);
    for (const [userId, channelIds] of await read(doubtful)) sets.set(userId, channelIds);
  }
  return sets;
}
