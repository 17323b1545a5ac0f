import type { Entry, History, Write } from "../record/history.js";
import { isTroubled, type Violation } from "./violation.js";

/**
 * The errors that a call may give if its outcome is unknown. Every request is valid, so any other error is a defect.
 */
const UNKNOWN_OUTCOMES = new Set(["UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED"]);
/** How much earlier an answer may arrive than the message on another connection, if Redis is killed, ms. */
const KILL_MARGIN_MS = 100;

/**
 * G9: a call that succeeded has done what it answered; a call that failed has the right status; every change in a log
 * comes from a write; and while Redis is away no checkpoint is healthy.
 */
export function checkHonesty(history: History): Violation[] {
  return [...checkAnswers(history), ...checkOrigins(history), ...checkOutages(history)];
}

function checkAnswers({ writes, witnessed, outages, rests }: History): Violation[] {
  const entryOf = new Map<string, Entry>();
  const note = (entry: Entry) => {
    if (entry.writeId !== undefined) entryOf.set(entry.writeId, entry);
  };
  for (const { store } of rests) for (const { log } of store.values()) log.forEach(note);
  for (const record of witnessed) if (record.kind === "entry") note(record.entry);
  const violations: Violation[] = [];
  for (const write of writes.values()) {
    const { id, path, answer } = write;
    if (path === "published" || answer === undefined) continue;
    const complain = (what: string) => violations.push({ law: "G9", at: answer.at, text: `${path} ${id} ${what}` });
    if (!answer.ok) {
      if (!UNKNOWN_OUTCOMES.has(answer.code)) complain(`failed with ${answer.code}`);
      continue;
    }
    if (outages.some(({ from }) => Math.abs(answer.at - from) < KILL_MARGIN_MS)) continue;
    const entry = entryOf.get(id);
    if (entry === undefined && (answer.isChange || !isEmpty(write))) complain("was answered well, but is in no log");
    if (entry !== undefined && entry.revision !== answer.revision) {
      complain(`was answered with revision ${answer.revision}, but is ${entry.revision}`);
    }
  }
  return violations;
}

function isEmpty({ channelsOf }: Write): boolean {
  return [...channelsOf.values()].every((channels) => channels === "");
}

function checkOrigins({ writes, witnessed }: History): Violation[] {
  const published = new Set<string>();
  for (const { path, eventId, channelsOf } of writes.values()) {
    if (path !== "published") continue;
    for (const [userId, channels] of channelsOf) published.add(`${eventId} ${userId} ${channels}`);
  }
  return witnessed.flatMap((record): Violation[] => {
    if (record.kind !== "entry") return [];
    const { writeId, actor, eventId, userId, channels } = record.entry;
    const write = writes.get(writeId ?? "");
    const isReconciled =
      actor === "reconcile" && (channels === "" || published.has(`${eventId} ${userId} ${channels}`));
    if (writeId === undefined ? isReconciled : write !== undefined && saysSo(write, userId, channels)) return [];
    const text = `${writeId ?? actor} gave ${userId} [${channels}] in ${eventId}, which no write requested`;
    return [{ law: "G9", at: record.at, text }];
  });
}

function saysSo(write: Write, userId: string, channels: string): boolean {
  const asked = write.channelsOf.get(userId) ?? (write.path === "sync" ? "" : undefined);
  return asked === channels;
}

function checkOutages(history: History): Violation[] {
  return history.outages.flatMap(({ noticedBy, to }) =>
    [...history.routers].flatMap(([router, records]) => {
      const lie = records.find(
        ({ kind, at, ...record }) =>
          kind === "checkpoint" && at > noticedBy && at < to && "isHealthy" in record && record.isHealthy,
      );
      if (lie === undefined || isTroubled(history, noticedBy, lie.at, router)) return [];
      return [{ law: "G9", at: lie.at, text: `${router} got a healthy checkpoint while Redis was away` } as const];
    }),
  );
}
