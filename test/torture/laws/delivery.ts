import { waitedBetween } from "../fleet/cpuWaits.js";
import type { Entry, History } from "../record/history.js";
import { isTroubled, type Violation } from "./violation.js";

/**
 * How far behind the store a checkpoint with `feed_healthy` may be, ms: 6 s of the probe and 2 s of the periodic check.
 */
const MAX_AGE_MS = 9_000;
/**
 * How far behind the store a healthy checkpoint may be while nothing is wrong: the 2 s of the periodic check, twice.
 */
const MAX_AGE_IN_PEACE_MS = 4_000;

/**
 * G3: a revision is delivered with the content that the store accepted. A watcher that lacks something can detect it:
 * by a snapshot, an unhealthy checkpoint or a missing checkpoint.
 */
export function checkDelivery(history: History): Violation[] {
  const accepted = collectAccepted(history);
  return [...checkContents(history, accepted), ...checkCheckpoints(history, accepted)];
}

interface Accepted {
  entry: Entry;
  /** When the witness saw it; undefined if it was found only in the log. */
  at: number | undefined;
}

type AcceptedEntries = Map<string, Accepted>;

const keyOf = ({ eventId, epoch, revision }: Pick<Entry, "eventId" | "epoch" | "revision">) =>
  `${eventId} ${epoch} ${revision}`;

function collectAccepted({ witnessed, rests }: History): AcceptedEntries {
  const accepted: AcceptedEntries = new Map();
  for (const record of witnessed) {
    if (record.kind === "entry") accepted.set(keyOf(record.entry), { entry: record.entry, at: record.at });
  }
  for (const { store } of rests) {
    for (const { log } of store.values()) {
      for (const entry of log) {
        if (!accepted.has(keyOf(entry))) accepted.set(keyOf(entry), { entry, at: undefined });
      }
    }
  }
  return accepted;
}

function checkContents({ routers }: History, accepted: AcceptedEntries): Violation[] {
  const violations: Violation[] = [];
  // An entry that the witness did not see must at least be the same for every router.
  const delivered: AcceptedEntries = new Map(accepted);
  for (const [router, records] of routers) {
    for (const record of records) {
      if (record.kind !== "changes") continue;
      for (const entry of record.entries) {
        const known = delivered.get(keyOf(entry));
        if (known === undefined) delivered.set(keyOf(entry), { entry, at: undefined });
        else if (!isSame(known.entry, entry)) {
          const text = `${router} got ${nameOf(entry)} as revision ${entry.revision}, which is ${nameOf(known.entry)}`;
          violations.push({ law: "G3", at: record.at, text });
        }
      }
    }
  }
  return violations;
}

function checkCheckpoints(history: History, accepted: AcceptedEntries): Violation[] {
  const violations: Violation[] = [];
  for (const [router, records] of history.routers) {
    for (const record of records) {
      if (record.kind !== "checkpoint" || !record.isHealthy) continue;
      for (const cursor of record.cursors) {
        const missing = accepted.get(keyOf({ ...cursor, revision: cursor.revision + 1 }));
        if (missing?.at === undefined || isTroubled(history, missing.at, record.at, router)) continue;
        const ageMs = record.at - missing.at - waitedBetween(history.cpuWaits, missing.at, record.at);
        const isPeace = !isTroubled(history, missing.at, record.at);
        if (ageMs <= (isPeace ? MAX_AGE_IN_PEACE_MS : MAX_AGE_MS)) continue;
        const { eventId, revision } = cursor;
        const text = `${router} got a healthy checkpoint at revision ${revision} of ${eventId}, ${Math.round(ageMs)} ms after ${revision + 1}`;
        violations.push({ law: "G3", at: record.at, text });
      }
    }
  }
  return violations;
}

function isSame(a: Entry, b: Entry): boolean {
  return a.userId === b.userId && a.channels === b.channels && a.actor === b.actor && a.writeId === b.writeId;
}

function nameOf({ eventId, userId, channels, writeId, actor }: Entry): string {
  return `${writeId ?? actor}: ${userId} in ${eventId} has [${channels}]`;
}
