import { setTimeout as sleep } from "node:timers/promises";
import { FLOOR_PRIORITIES } from "../../../src/domain/floor.js";
import type { Engine } from "../../../src/domain/ports/engine.js";
import type { FloorHistory, Grant, Wait } from "./floorLaws.js";
import { noteGrant, orStale } from "./floorNotes.js";

/** The history and stores that a waiting session works with. */
export interface WaiterWorld {
  history: FloorHistory;
  channelId: string;
  userId: string;
  /** The user of the session. No other session has this user. */
  sessionId: string;
  random: () => number;
  pickReplica: () => Engine;
}

/**
 * A session that presses once and waits for the floor if necessary. Then it speaks for a moment, or has already left.
 */
export async function playWaiter({ history, random, pickReplica, ...who }: WaiterWorld): Promise<void> {
  const { channelId, userId, sessionId } = who;
  const priority = random() < 0.6 ? "normal" : (FLOOR_PRIORITIES[Math.floor(random() * 4)] ?? "normal");
  const waitMs = 40 + Math.round(random() * 200);
  const terms = { priority, talkTimeMs: 300, leaseTimeMs: 60 + Math.round(random() * 100) };
  const request = { ...who, ...terms, userName: sessionId, actor: sessionId, queue: { waitMs, limit: 3 } };
  let wait: Wait | undefined;
  let held: Grant | undefined;

  const press = async () => {
    const outcome = await pickReplica().startPtt(request);
    if (outcome.granted) held = noteGrant(history, channelId, outcome);
    const place = outcome.granted ? undefined : outcome.place;
    if (place === undefined) {
      if (wait !== undefined) wait.isAnswered = true;
    } else if (place.queueId !== wait?.queueId) {
      const { queueId, expiresAtMs } = place;
      const enteredAtMs = expiresAtMs - waitMs;
      wait = { channelId, queueId, userName: sessionId, priority, enteredAtMs, stops: 0, isAnswered: false };
      history.waits.push(wait);
    }
    return place !== undefined;
  };

  let isWaiting = await press();
  while (isWaiting) {
    await sleep(random() * 60);
    const grant = history.published.some(
      (one) => "kind" in one && one.kind === "floorRequestGranted" && one.queueId === wait?.queueId,
    );
    const next = random();
    if (grant || next < 0.6) isWaiting = await press();
    else if (next < 0.8) {
      const isStopped = await orStale(
        pickReplica()
          .stopPtt(channelId, { userId, sessionId })
          .then(() => true),
      );
      if (isStopped && wait !== undefined) wait.stops += 1;
      return;
    } else return;
  }
  if (held === undefined || random() < 0.2) return;
  await sleep(random() * 80);
  const { leaseId } = held;
  if (
    await orStale(
      pickReplica()
        .stopPtt(channelId, { leaseId })
        .then(() => true),
    )
  )
    held.releases += 1;
}

/** Adds the floors that were granted to waiting requests. Some of them occur only in the log. */
export function noteServed({ grants, waits, published }: FloorHistory): void {
  for (const one of published) {
    if (!("kind" in one) || one.kind !== "floorRequestGranted") continue;
    const { channelId, leaseId, queueId, userId, userName, startedAtMs, expiresAtMs, talkUntilMs } = one;
    const wait = waits.find((known) => known.channelId === channelId && known.queueId === queueId);
    const known = grants.find((grant) => grant.channelId === channelId && grant.leaseId === leaseId);
    const base = { channelId, leaseId, userId, userName, startedAtMs, expiresAtMs, talkUntilMs };
    const grant = known ?? { ...base, releases: 0, lateRenewals: 0 };
    if (known === undefined) grants.push(grant);
    grant.releases += wait?.stops ?? 0;
  }
}
