import { waitedBetween } from "../fleet/cpuWaits.js";
import type { History, Rest, RouterRecord } from "../record/history.js";
import { RouterPicture } from "../record/routerPicture.js";
import { CHECKPOINT_INTERVAL_MS } from "../record/routerRecorder.js";
import type { Violation } from "./violation.js";

/**
 * G1: at rest the state of every router equals the store, in its recorded messages and in its client. It must do so
 * within one checkpoint interval after the connections were restored, not counting time for which the machine had no
 * CPU.
 */
export function checkConvergence(history: History): Violation[] {
  const strandings = history.strandings.map(({ party, at }): Violation => {
    return { law: "G1", at, text: `${party} does not stand again although the fault has ceased` };
  });
  const differences = history.rests.flatMap((rest) =>
    [...history.routers].flatMap(([router, records]) => {
      const until = records.filter(({ at }) => at <= rest.at);
      const picture = new RouterPicture();
      for (const record of until) picture.take(record);
      const differences = [...differencesOf(rest, picture), ...mirrorDifferences(rest, router)];
      const neededMs = convergenceMs(rest, until);
      const withheldMs = waitedBetween(history.cpuWaits, rest.standingAt, rest.standingAt + neededMs);
      const lateMs = neededMs - withheldMs - CHECKPOINT_INTERVAL_MS;
      if (lateMs > 0) differences.push(`it was brought up to date ${Math.round(lateMs)} ms too late`);
      return differences.map((text): Violation => ({ law: "G1", at: rest.at, text: `${router}: ${text}` }));
    }),
  );
  return [...strandings, ...differences];
}

/** How long after the connections were restored a router still received changes, ms; 0 if it received none. */
export function convergenceMs({ standingAt, at: restAt }: Rest, records: readonly RouterRecord[]): number {
  const last = records.findLast(({ kind, at }) => (kind === "changes" || kind === "snapshot") && at <= restAt);
  return Math.max(0, (last?.at ?? 0) - standingAt);
}

/** Lists differences between what a router has received and the store. */
export function differencesOf({ store }: Pick<Rest, "store">, picture: RouterPicture): string[] {
  const differences: string[] = [];
  for (const [eventId, { epoch, revision, members }] of store) {
    const event = picture.events.get(eventId);
    if (event === undefined) {
      differences.push(`${eventId} was never delivered`);
      continue;
    }
    if (event.epoch !== epoch || event.revision !== revision) {
      differences.push(`${eventId} is at ${event.epoch}/${event.revision}, in the store at ${epoch}/${revision}`);
    }
    for (const userId of new Set([...members.keys(), ...event.users.keys()])) {
      const received = event.users.get(userId) ?? "";
      const stored = members.get(userId)?.channels ?? "";
      if (received !== stored) differences.push(`${userId} in ${eventId} has [${received}], in the store [${stored}]`);
    }
  }
  return differences;
}

/** Lists differences between a router's client and the store. */
function mirrorDifferences({ store, mirrors }: Rest, router: string): string[] {
  const mirror = mirrors.get(router);
  const differences: string[] = [];
  for (const [eventId, { members }] of store) {
    for (const [userId, { channels }] of members) {
      const mirrored = mirror?.get(eventId)?.get(userId) ?? "";
      if (mirrored !== channels) {
        differences.push(`its client says [${mirrored}] for ${userId} in ${eventId}, the store [${channels}]`);
      }
    }
  }
  return differences;
}
