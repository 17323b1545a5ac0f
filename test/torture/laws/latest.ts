import { Order } from "../record/expectation.js";
import type { History } from "../record/history.js";
import type { Violation } from "./violation.js";

/** The most records about a user that a violation lists. */
const TOLD = 6;

/**
 * G6: the newest write in Redis's order remains at rest, and a log never returns to an older one. Exempt is what the
 * documents say cannot be known: a write that no replica received and that the control plane's set does not contain.
 */
export function checkLatest(history: History): Violation[] {
  return [...checkStore(history), ...checkLogs(history)];
}

/** Counts the users who have the newest write at rest, and those who have an older one that is allowed. */
export function countUsers(history: History): { newest: number; excused: number } {
  const counts = { newest: 0, excused: 0 };
  for (const { eventId, userId, stored, order, rest } of usersAtRest(history)) {
    const { channels } = order.expect(eventId, userId, rest.keys);
    if ((stored ?? "") === (channels ?? "")) counts.newest++;
    else if (order.allows(eventId, userId, rest.keys, stored)) counts.excused++;
  }
  return counts;
}

function* usersAtRest(history: History) {
  for (const rest of history.rests) {
    const order = new Order(history, rest.witnessed);
    for (const [eventId, { members }] of rest.store) {
      for (const userId of new Set([...members.keys(), ...usersOf(history, eventId)])) {
        yield { eventId, userId, stored: members.get(userId)?.channels, order, rest };
      }
    }
  }
}

function checkStore(history: History): Violation[] {
  const violations: Violation[] = [];
  for (const { eventId, userId, stored, order, rest } of usersAtRest(history)) {
    if (order.allows(eventId, userId, rest.keys, stored)) continue;
    const { channels, newest } = order.expect(eventId, userId, rest.keys);
    const name = newest ? `${newest.write.path} ${newest.write.id}` : "nothing";
    const text = `${userId} in ${eventId} has [${stored}], but the newest write, ${name}, says [${channels}]`;
    violations.push({
      law: "G6",
      at: rest.at,
      text: `${text}; ${describeState(history, eventId, userId, rest.witnessed)}`,
    });
  }
  return violations;
}

// The last records about a user, so that a violation can be understood.
function describeState({ writes, witnessed }: History, eventId: string, userId: string, until: number): string {
  const seen: string[] = [];
  for (const record of witnessed.slice(0, until)) {
    const at = Math.round(record.at);
    if (record.kind === "lost") seen.push(`data lost at ${at}`);
    else if (record.kind === "entry") {
      const { writeId, actor, channels } = record.entry;
      if (record.entry.eventId !== eventId || record.entry.userId !== userId) continue;
      seen.push(`${writeId ?? actor} in the log at ${at} as [${channels}]`);
    } else {
      const write = writes.get(record.writeId);
      if (write?.eventId === eventId && write.channelsOf.has(userId)) seen.push(`${record.writeId} published at ${at}`);
    }
  }
  return `seen: ${seen.slice(-TOLD).join(", ")}`;
}

function* usersOf({ writes }: History, eventId: string): Iterable<string> {
  for (const write of writes.values()) if (write.eventId === eventId) yield* write.channelsOf.keys();
}

// Entries of one user follow each other as the writes do that they come from. A reconcile's come from no write.
function checkLogs({ writes, witnessed }: History): Violation[] {
  const violations: Violation[] = [];
  const placeOf = new Map<string, number>();
  const newest = new Map<string, { order: number; id: string }>();
  for (const [order, record] of witnessed.entries()) {
    if (record.kind === "lost") newest.clear();
    if (record.kind === "published") placeOf.set(record.writeId, order);
    if (record.kind !== "entry" || record.entry.writeId === undefined) continue;
    const { eventId, userId, writeId: id } = record.entry;
    const place = writes.get(id)?.path === "published" ? placeOf.get(id) : order;
    // Published while the witness was disconnected.
    if (place === undefined) continue;
    const user = `${eventId} ${userId}`;
    const before = newest.get(user);
    if (before !== undefined && before.order > place) {
      violations.push({
        law: "G6",
        at: record.at,
        text: `${id} of ${user} was applied after ${before.id}, which is newer`,
      });
    } else newest.set(user, { order: place, id });
  }
  return violations;
}
