import { waitedBetween } from "../fleet/cpuWaits.js";
import { Order } from "../record/expectation.js";
import type { Entry, History, Refusal, RouterRecord, Write } from "../record/history.js";
import { CHECKPOINT_INTERVAL_MS } from "../record/routerRecorder.js";
import type { Violation } from "./violation.js";

/** The longest time until published updates are applied after Redis accepts everything again, ms. */
const IN_STORE_MS = 5_000;
const IN_FORCE_MS = CHECKPOINT_INTERVAL_MS + IN_STORE_MS;
/** Updates that were published within this time before a rejection may still have been waiting when it began, ms. */
const LEAD_MS = 2_000;
/**
 * How long a replica with failing writes may still report that it is ready, ms. The interval of the probe and that of
 * the check are added.
 */
const UNNOTICED_MS = 6_000 + 2_500;
/** The longest time until a replica is ready again after the cause of a rejection has ceased, ms. */
const READY_AGAIN_MS = 5_000;
/** On a busy machine the last proof may have been taken in so much later, ms. */
const MAX_STALL_MS = 2_000;
/** The most changes that a violation lists. */
const MAX_LISTED = 4;

/**
 * Checks a period in which Redis rejects writes. G1: every update that was published before, during or after it is
 * applied within one checkpoint interval and 5 s. G9: a replica is not ready while its own writes have failed for
 * longer than 6 s, and it is ready again soon afterwards.
 */
export function checkRefusals(history: History): Violation[] {
  return [...checkInForce(history), ...checkReadiness(history)];
}

function checkReadiness(history: History): Violation[] {
  return history.refusals.flatMap((refusal): Violation[] => {
    const { fault, from, heldUntil, ceasedAt, to, replicas, isTotal } = refusal;
    return replicas.flatMap((replica): Violation[] => {
      const violations: Violation[] = [];
      const waitedMs = (start: number, end: number) => waitedBetween(history.cpuWaits, start, end);
      const noticedBy = from + UNNOTICED_MS + Math.min(MAX_STALL_MS, waitedMs(from, from + UNNOTICED_MS));
      const isAlone = !isDisturbed(history, refusal, from, heldUntil, replica);
      const asked = history.readiness.filter(
        (record) => record.replica === replica && record.at > noticedBy && record.at < heldUntil,
      );
      const lie = asked.find(({ isReady }) => isReady);
      const isOver = to <= from;
      if (isTotal && !isOver && isAlone && lie !== undefined) {
        const text = `${replica} was ready ${Math.round(lie.at - from)} ms after its writes began to fail: ${fault}`;
        violations.push({ law: "G9", at: lie.at, text });
      }
      // Over for new connections from the beginning: a replica that is not ready has made none.
      const absence = asked.find(({ isReady }) => !isReady);
      if (isOver && isAlone && absence !== undefined) {
        const text = `${replica} was not ready ${Math.round(absence.at - from)} ms after a successor had taken over: ${fault}`;
        violations.push({ law: "G9", at: absence.at, text });
      }
      const standingAt = history.troubles.find((trouble) => isOwn(trouble, refusal) && trouble.party === replica)?.to;
      if (standingAt === undefined || !Number.isFinite(standingAt)) return violations;
      const lateMs = standingAt - ceasedAt - waitedMs(ceasedAt, standingAt) - READY_AGAIN_MS;
      if (lateMs > 0 && !isDisturbed(history, refusal, from, standingAt, replica)) {
        const text = `${replica} was ready again ${Math.round(lateMs)} ms too late: ${fault}`;
        violations.push({ law: "G9", at: standingAt, text });
      }
      return violations;
    });
  });
}

function isOwn(trouble: { fault: string; from: number; to: number }, refusal: Refusal): boolean {
  return trouble.fault === refusal.fault && trouble.from <= refusal.from && trouble.to >= refusal.to;
}

// True if another trouble may explain the replica's state between the two times.
function isDisturbed(history: History, refusal: Refusal, from: number, to: number, party?: string): boolean {
  return history.troubles.some(
    (trouble) =>
      !isOwn(trouble, refusal) &&
      (party === undefined || trouble.party === party) &&
      trouble.from <= to &&
      trouble.to >= from,
  );
}

interface Published {
  write: Write;
  at: number;
  /** Returns the time by which it must be in the store. */
  by: number;
}

function checkInForce(history: History): Violation[] {
  const order = new Order(history, history.witnessed.length);
  const entries = history.witnessed.flatMap((record) => (record.kind === "entry" ? [record] : []));
  if (history.refusals.length === 0) return [];
  const restedAt = Math.max(0, ...history.rests.map(({ at }) => at));
  const positionsOf = new Map([...history.routers].map(([router, records]) => [router, collectPositions(records)]));
  const rank = new Map<string, number>();
  for (const record of history.witnessed) if (record.kind === "published") rank.set(record.writeId, rank.size);
  const entriesOf = new Map<string, typeof entries>();
  for (const record of entries) {
    const key = `${record.entry.eventId} ${record.entry.userId}`;
    const list = entriesOf.get(key) ?? [];
    entriesOf.set(key, list);
    list.push(record);
  }
  const losses = lossesIn(history);
  return publishedUnderRefusal(history, order, losses).flatMap(({ write, at, by }) => {
    const { id, eventId } = write;
    return [...write.channelsOf].flatMap(([userId, channels]): Violation[] => {
      const all = entriesOf.get(`${eventId} ${userId}`) ?? [];
      // A newer write, or a write with the same content, may replace it.
      const effect = all.find(({ entry, at: seenAt }) => {
        if (seenAt <= at - LEAD_MS) return false;
        const isNewer = entry.writeId !== undefined && (rank.get(entry.writeId) ?? Infinity) >= (rank.get(id) ?? 0);
        return isNewer || (seenAt > at && entry.channels === channels);
      });
      const byMs = by + waitedBetween(history.cpuWaits, at, by);
      const name = `${id} for ${userId} in ${eventId}, published at ${Math.round(at)} ms,`;
      if (byMs > restedAt) return [];
      if (effect === undefined || effect.at > byMs) {
        // A user who already had these channels needs no change. After a loss the log does not show which channels a
        // user had.
        const last = all.findLast((record) => record.at <= byMs);
        const isForgotten = losses.some((lostAt) => lostAt >= (last?.at ?? 0) && lostAt <= byMs);
        if ((last?.entry.channels ?? "") === channels || (isForgotten && channels === "")) return [];
        const late = effect === undefined ? "never" : `only at ${Math.round(effect.at)} ms`;
        const text = `${name} as [${channels}] was in force ${late}, not by ${Math.round(byMs)} ms`;
        const stored = history.rests.at(-1)?.store.get(eventId)?.members.get(userId);
        const now = stored && `[${stored.channels}] of ${stored.position.generation}-${stored.position.count}`;
        return [{ law: "G1", at: by, text: `${text}; in the log: ${describeEntries(all, at)}; at rest: ${now}` }];
      }
      const toldBy = byMs + CHECKPOINT_INTERVAL_MS;
      const toldByMs = toldBy + waitedBetween(history.cpuWaits, byMs, toldBy);
      if (toldByMs > restedAt) return [];
      return routersBehind(history, positionsOf, effect.entry, at, toldByMs).map((router) => {
        return { law: "G1", at: by, text: `${name} had not arrived at ${router} by ${Math.round(toldByMs)} ms` };
      });
    });
  });
}

function lossesIn({ witnessed }: History): number[] {
  return witnessed.flatMap(({ kind, at }) => (kind === "lost" ? [at] : []));
}

// The changes of a user around that time.
function describeEntries(seen: readonly { at: number; entry: Entry }[], at: number): string {
  const first = seen.findIndex((record) => record.at > at - LEAD_MS);
  const near = first === -1 ? seen.slice(-MAX_LISTED) : seen.slice(Math.max(0, first - 1), first + MAX_LISTED);
  const lines = near.map((record) => {
    const { writeId, actor, channels } = record.entry;
    return `${writeId ?? actor} at ${Math.round(record.at)} as [${channels}]`;
  });
  return lines.join(", ") || "nothing";
}

// Each update that must have been received and that has a known deadline.
function publishedUnderRefusal(history: History, order: Order, losses: readonly number[]): Published[] {
  const published: Published[] = [];
  for (const record of history.witnessed) {
    if (record.kind !== "published") continue;
    const { at } = record;
    const write = history.writes.get(record.writeId);
    const refusal = history.refusals.find(({ from, to }) => at >= from - LEAD_MS && at <= to + IN_FORCE_MS);
    if (write === undefined || refusal === undefined || !order.wasReceived(at)) continue;
    const by = Math.max(quietSince(history, refusal, at), at) + IN_STORE_MS;
    // Other laws check the writes that Redis has lost.
    if (losses.some((lostAt) => lostAt >= at - LEAD_MS && lostAt <= by)) continue;
    published.push({ write, at, by });
  }
  return published;
}

// The end of the last trouble that may delay a message that was published at this time.
function quietSince(history: History, refusal: Refusal, at: number): number {
  let quiet = refusal.to;
  const others = [...history.refusals, ...history.troubles.filter((trouble) => !isOwn(trouble, refusal))];
  for (let isGrowing = true; isGrowing; ) {
    const next = others
      .filter(({ from, to }) => from <= Math.max(quiet, at) + IN_FORCE_MS && to >= at)
      .reduce((latest, { to }) => Math.max(latest, to), quiet);
    isGrowing = next > quiet && Number.isFinite(next);
    quiet = next;
  }
  return quiet;
}

/** Returns the position of each event at a router, by the messages that it received. */
type Positions = Map<string, { at: number; epoch: string; revision: number }[]>;

function collectPositions(records: readonly RouterRecord[]): Positions {
  const positions: Positions = new Map();
  for (const record of records) {
    const { at } = record;
    const cursors = record.kind === "checkpoint" ? record.cursors : record.kind === "snapshot" ? [record] : [];
    for (const { eventId, epoch, revision } of cursors) {
      const list = positions.get(eventId) ?? [];
      positions.set(eventId, list);
      list.push({ at, epoch, revision });
    }
  }
  return positions;
}

// The routers without trouble that had not received a change by then.
function routersBehind(
  { troubles }: History,
  positionsOf: ReadonlyMap<string, Positions>,
  { eventId, epoch, revision }: Entry,
  from: number,
  by: number,
): string[] {
  return [...positionsOf].flatMap(([router, positions]) => {
    if (troubles.some((trouble) => trouble.party === router && trouble.from <= by && trouble.to >= from)) return [];
    const last = positions.get(eventId)?.findLast(({ at }) => at <= by);
    const hasArrived = last !== undefined && (last.epoch !== epoch || last.revision >= revision);
    return hasArrived ? [] : [router];
  });
}
