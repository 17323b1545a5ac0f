import { waitedBetween } from "../fleet/cpuWaits.js";
import type { Entry, History } from "../record/history.js";
import { isTroubled, type Violation } from "./violation.js";

/** How far behind the store a checkpoint that says "healthy" may be, ms: the probe's 6 s and the check every 2 s. */
const MAX_AGE_MS = 9_000;
/** The same where nothing is wrong: the check every 2 s, and as much again. */
const MAX_AGE_IN_PEACE_MS = 4_000;

/**
 * G3: what is delivered under a revision is what the store accepted under it, and a watcher that lacks something is told
 * that it is behind: by a snapshot, an unhealthy checkpoint, or none.
 */
export function checkDelivery(history: History): Violation[] {
  const accepted = collectAccepted(history);
  return [...checkContents(history, accepted), ...checkCheckpoints(history, accepted)];
}

interface Accepted {
  entry: Entry;
  /** When it was seen to be accepted; undefined if it was found in the log only. */
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
  // What nobody saw being accepted must at least be the same for everybody.
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
        const text = `${router} was told that all is well at revision ${revision} of ${eventId}, ${Math.round(ageMs)} ms after ${revision + 1}`;
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
