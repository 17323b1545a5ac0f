import { SquelchError } from "../../../src/domain/errors.js";
import type { StartPttOutcome } from "../../../src/domain/ports/floorStore.js";
import type { FloorHistory, Grant } from "./floorLaws.js";

/** Adds a grant to a history, unless it is there; returns it. */
export function noteGrant(
  history: FloorHistory,
  channelId: string,
  outcome: StartPttOutcome & { granted: true },
): Grant {
  const { leaseId, speaker, talkUntilMs } = outcome;
  const known = history.grants.find((grant) => grant.channelId === channelId && grant.leaseId === leaseId);
  if (known !== undefined) return known;
  const { userId, userName, startedAtMs, expiresAtMs } = speaker;
  const grant = {
    channelId,
    leaseId,
    userId,
    userName,
    startedAtMs,
    expiresAtMs,
    talkUntilMs,
    releases: 0,
    lateRenewals: 0,
  };
  history.grants.push(grant);
  return grant;
}

/** Undefined if the store rejected the press. */
export async function orStale<T>(promise: Promise<T>): Promise<T | undefined> {
  try {
    return await promise;
  } catch (error) {
    if (error instanceof SquelchError && error.code === "failedPrecondition") return undefined;
    throw error;
  }
}
