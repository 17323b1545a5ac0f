import type { FloorRequestGranted, FloorRevoked, LogEntry } from "../../../src/domain/change.js";
import { type ActiveSpeaker, type FloorPriority, outranks, type SpeakerPause } from "../../../src/domain/floor.js";
import type { FloorNews } from "../../../src/domain/ports/floorStore.js";

/** A floor that was granted to a press. Times are ms by Redis's clock. */
export interface Grant {
  channelId: string;
  leaseId: number;
  userId: string;
  /** Tells the sessions of a user apart. */
  userName: string;
  startedAtMs: number;
  /** As far as renewals have told. */
  expiresAtMs: number;
  talkUntilMs: number;
  /** How often it was given back with success. */
  releases: number;
  /** How often it was renewed after that. */
  lateRenewals: number;
}

/** A request that waited for a floor. Times are ms by Redis's clock. */
export interface Wait {
  channelId: string;
  queueId: number;
  userName: string;
  priority: FloorPriority;
  enteredAtMs: number;
  /** How often the session stopped with success since: the place, or the floor if it had been granted. */
  stops: number;
  /** A later press of the session was granted or denied, which ends a wait that has not ended before. */
  isAnswered: boolean;
}

/** A lock that a legacy router wrote, and the time at which it was gone for certain. */
export interface Lock {
  channelId: string;
  userId: string;
  takenAtMs: number;
  goneAtMs: number;
}

/** A pause that was made, and the one whose place it asked for. */
export interface MadePause {
  pauseId: string;
  replacePauseId: string | undefined;
}

/** What happened to the floors of one event. */
export interface FloorHistory {
  pauses: MadePause[];
  grants: Grant[];
  waits: Wait[];
  locks: Lock[];
  /** When legacy routers deleted a speaker key, whosever it was: they look first, but not in the same step. */
  deletions: { channelId: string; atMs: number }[];
  /** What Redis told, in its order. */
  told: (LogEntry | FloorNews)[];
}

/** The laws of the floor that a history breaks, each in a sentence; all leases must have ended. */
export function findBreaches(history: FloorHistory): string[] {
  return [
    ...rising(history),
    ...oneEnd(history),
    ...bounded(history),
    ...outranked(history),
    ...oneHolder(history),
    ...latched(history),
    ...onePause(history),
    ...oneEndOfWait(history),
    ...servedInOrder(history),
    ...neverFree(history),
    ...besideLocks(history),
  ];
}

const nameOf = ({ channelId, userId, leaseId }: Grant) => `lease ${leaseId} of ${userId} on ${channelId}`;

type Floor = Pick<ActiveSpeaker, "channelId" | "userName" | "startedAtMs">;

// Two sessions of a user may speak within a millisecond.
function isOf(grant: Grant, floor: Floor): boolean {
  const { channelId, userName, startedAtMs } = floor;
  return grant.channelId === channelId && grant.userName === userName && grant.startedAtMs === startedAtMs;
}

function isLeaseOf(grant: Grant, { channelId, leaseId }: FloorRevoked): boolean {
  return grant.channelId === channelId && grant.leaseId === leaseId;
}

/** The entries that tell of the end of a grant. */
function endsOf(grant: Grant, told: FloorHistory["told"]): LogEntry[] {
  return told.filter((one): one is LogEntry => {
    if (!("kind" in one)) return false;
    if (one.kind === "floorRevoked") return isLeaseOf(grant, one);
    return one.kind === "speakersPaused" && one.cut.some((cut) => isOf(grant, cut));
  });
}

function rising({ grants }: FloorHistory): string[] {
  const newest = new Map<string, number>();
  return [...grants]
    .sort((a, b) => a.startedAtMs - b.startedAtMs || a.leaseId - b.leaseId)
    .flatMap((grant) => {
      const before = newest.get(grant.channelId) ?? 0;
      newest.set(grant.channelId, grant.leaseId);
      return grant.leaseId > before ? [] : [`${nameOf(grant)} came after ${before}`];
    });
}

function oneEnd({ grants, told }: FloorHistory): string[] {
  return grants.flatMap((grant) => {
    const ends = endsOf(grant, told);
    const count = ends.length + grant.releases;
    if (count !== 1) return [`${nameOf(grant)} has ${count} ends: ${JSON.stringify({ grant, ends })}`];
    const [end] = ends;
    const isOverdue = end?.kind === "floorRevoked" && end.cause === "talkedTooLong";
    return isOverdue && end.timeMs < grant.talkUntilMs ? [`${nameOf(grant)} had not talked for too long`] : [];
  });
}

function bounded({ grants }: FloorHistory): string[] {
  const overdue = grants.filter(({ expiresAtMs, talkUntilMs }) => expiresAtMs > talkUntilMs);
  const late = grants.filter(({ lateRenewals }) => lateRenewals > 0);
  return [
    ...overdue.map((grant) => `${nameOf(grant)} was renewed beyond its talk time`),
    ...late.map((grant) => `${nameOf(grant)} was renewed after it had been given back`),
  ];
}

// Whoever pre-empts a lease has the higher priority; who is next is told right after the end.
function outranked({ grants, told }: FloorHistory): string[] {
  const breaches: string[] = [];
  const held = new Map<string, FloorPriority>();
  const cut = new Map<string, Grant>();
  for (const one of told) {
    if ("kind" in one) {
      if (one.kind !== "floorRevoked" || one.cause !== "preEmpted") continue;
      const grant = grants.find((known) => isLeaseOf(known, one));
      if (grant !== undefined) cut.set(one.channelId, grant);
      continue;
    }
    for (const { channelId, holder } of one.changes) {
      const grant = cut.get(channelId);
      const priority = held.get(channelId);
      if (grant && holder && priority && !outranks(holder.priority, priority)) {
        breaches.push(`${nameOf(grant)} was taken by ${holder.userName} without a higher priority`);
      }
      cut.delete(channelId);
      if (holder === undefined) held.delete(channelId);
      else held.set(channelId, holder.priority);
    }
  }
  return breaches;
}

// In Redis's order the end of a floor is told before, or with, the next holder.
function oneHolder({ grants, told }: FloorHistory): string[] {
  const breaches: string[] = [];
  const holders = new Map<string, Grant>();
  for (const one of told) {
    if ("kind" in one) {
      for (const [channelId, grant] of holders) {
        if (endsOf(grant, [one]).length > 0) holders.delete(channelId);
      }
      continue;
    }
    for (const { channelId, holder, hasLease } of one.changes) {
      const before = holders.get(channelId);
      const grant = grants.find((known) => holder !== undefined && isOf(known, holder));
      // What is given back during a pause goes to the broadcaster in the same step.
      const isHandedOn = before?.releases === 1 && (!hasLease || isFromQueue(grant, told));
      if (before !== undefined && holder !== undefined && before !== grant && !isHandedOn) {
        breaches.push(`${nameOf(before)} ran when ${holder.userId} was given the floor`);
      }
      if (grant === undefined) holders.delete(channelId);
      else holders.set(channelId, grant);
    }
  }
  return breaches;
}

function isFromQueue(grant: Grant | undefined, told: FloorHistory["told"]): boolean {
  return grant !== undefined && told.some((one) => isGrantOf(one, grant));
}

function isGrantOf(one: FloorHistory["told"][number], { channelId, leaseId }: Grant): boolean {
  return "kind" in one && one.kind === "floorRequestGranted" && one.channelId === channelId && one.leaseId === leaseId;
}

/** Where it was told how a request ended: its own entries, and the first pause since it began to wait. */
function endsOfWait({ channelId, queueId, enteredAtMs }: Wait, told: FloorHistory["told"]) {
  const own: number[] = [];
  let pause = Number.POSITIVE_INFINITY;
  told.forEach((one, index) => {
    if (!("kind" in one)) return;
    const isEnd = one.kind === "floorRequestGranted" || one.kind === "floorRequestDenied";
    if (isEnd && one.channelId === channelId && one.queueId === queueId) own.push(index);
    // While a pause stands nobody begins to wait.
    if (one.kind === "speakersPaused" && one.timeMs >= enteredAtMs) pause = Math.min(pause, index);
  });
  return { own, pause };
}

const nameOfWait = ({ channelId, queueId, userName }: Wait) => `request ${queueId} of ${userName} on ${channelId}`;

function oneEndOfWait({ waits, told }: FloorHistory): string[] {
  return waits.flatMap((wait) => {
    const { own, pause } = endsOfWait(wait, told);
    const [end] = own;
    if (own.length > 1) return [`${nameOfWait(wait)} has ${own.length} ends`];
    if (end !== undefined) return end > pause ? [`${nameOfWait(wait)} outlasted a pause`] : [];
    if (pause < Number.POSITIVE_INFINITY || wait.stops > 0 || wait.isAnswered) return [];
    return [`${nameOfWait(wait)} has no end`];
  });
}

/** Those who certainly waited for a channel when something was told: their end came later than in the same step. */
function waitingAt({ waits, told }: FloorHistory, channelId: string, index: number): Wait[] {
  const timeMs = told[index]?.timeMs ?? 0;
  return waits.filter((wait) => {
    if (wait.channelId !== channelId || wait.enteredAtMs >= timeMs) return false;
    const { own, pause } = endsOfWait(wait, told);
    // Whoever may have given up the place did so at a time that is not known.
    const isCertain = own.length > 0 || (wait.stops === 0 && !wait.isAnswered);
    const endMs = told[Math.min(pause, ...own)]?.timeMs ?? 0;
    return isCertain && endMs > timeMs;
  });
}

// The higher priority is served first, then the older request.
function servedInOrder(history: FloorHistory): string[] {
  return history.told.flatMap((one, index) => {
    if (!("kind" in one) || one.kind !== "floorRequestGranted") return [];
    return waitingAt(history, one.channelId, index)
      .filter((wait) => outranks(wait.priority, one.priority) || isOlder(wait, one))
      .map((wait) => `${nameOfWait(wait)} was passed over for ${one.queueId} of ${one.userName}`);
  });
}

function isOlder({ priority, queueId }: Wait, granted: FloorRequestGranted): boolean {
  return priority === granted.priority && queueId < granted.queueId;
}

// While somebody waits the floor is neither free nor given to anybody else who has not taken it by priority.
function neverFree(history: FloorHistory): string[] {
  const breaches: string[] = [];
  const holders = new Map<string, Grant | undefined>();
  const cut = new Set<string>();
  history.told.forEach((one, index) => {
    if ("kind" in one) {
      if (one.kind === "floorRevoked" && one.cause === "preEmpted") cut.add(one.channelId);
      return;
    }
    for (const { channelId, holder, hasLease } of one.changes) {
      const grant = history.grants.find((known) => holder !== undefined && isOf(known, holder));
      const isNew = holder === undefined || (hasLease && grant !== holders.get(channelId));
      const isServed = cut.has(channelId) || isFromQueue(grant, history.told);
      if (isNew && !isServed) {
        for (const wait of waitingAt(history, channelId, index)) {
          breaches.push(`${nameOfWait(wait)} waited when ${holder?.userName ?? "nobody"} had the floor`);
        }
      }
      holders.set(channelId, grant);
      cut.delete(channelId);
    }
  });
  return breaches;
}

// Between a pause and its end nobody but the exempt and the broadcaster is given a floor, or has one still.
function latched({ locks, told }: FloorHistory): string[] {
  const breaches: string[] = [];
  const holders = new Map<string, string | undefined>();
  let exempt: string[] | undefined;
  for (const one of told) {
    if (!("kind" in one)) {
      for (const { channelId, holder } of one.changes) {
        // The end of a lock that others wrote is told by nobody.
        const isLock = locks.some(({ userId }) => userId === holder?.userId);
        if (isLock && exempt) breaches.push(`${holder?.userId} was given a floor during a pause`);
        holders.set(channelId, isLock ? undefined : holder?.userId);
      }
      const intruders = [...holders.values()].filter((userId) => userId && exempt && !exempt.includes(userId));
      breaches.push(...intruders.map((userId) => `${userId} had a floor during a pause`));
    } else if (one.kind === "speakersPaused") {
      exempt = [...one.pause.exemptUserIds, one.pause.broadcaster?.userId ?? ""];
    } else if (one.kind === "speakersResumed") exempt = undefined;
  }
  return breaches;
}

// A pause takes the place of another only if it names that one or has the same broadcaster, and says so; each has one end.
function onePause({ pauses, told }: FloorHistory): string[] {
  const breaches: string[] = [];
  let standing: SpeakerPause | undefined;
  for (const one of told) {
    if (!("kind" in one)) continue;
    if (one.kind === "speakersResumed") {
      if (standing?.pauseId !== one.pauseId) breaches.push(`the end of ${one.pauseId} was told while it did not stand`);
      standing = undefined;
    } else if (one.kind === "speakersPaused") {
      const { pause, replacedPauseId } = one;
      if (replacedPauseId !== standing?.pauseId) breaches.push(`${pause.pauseId} does not say what it replaced`);
      const { replacePauseId } = pauses.find(({ pauseId }) => pauseId === pause.pauseId) ?? {};
      const speaksOn = pause.broadcaster && pause.broadcaster.userId === standing?.broadcaster?.userId;
      const mayReplace = replacePauseId === undefined ? speaksOn : replacePauseId === standing?.pauseId;
      if (standing !== undefined && !mayReplace) breaches.push(`${pause.pauseId} displaced ${standing.pauseId}`);
      standing = pause;
    }
  }
  return breaches;
}

// A legacy router's lock keeps others out, and is kept out; a higher priority or a pause says that it takes it.
function besideLocks({ grants, locks, deletions, told }: FloorHistory): string[] {
  const takenFrom = ({ channelId, userId, takenAtMs, goneAtMs }: Lock) =>
    told.flatMap((one) => {
      if (!("kind" in one) || one.timeMs < takenAtMs || one.timeMs > goneAtMs) return [];
      const isTaken =
        one.kind === "speakersPaused" ||
        (one.kind === "floorRevoked" && one.channelId === channelId && one.userId === userId);
      return isTaken ? [one.timeMs] : [];
    });
  return locks.flatMap((lock) => {
    const goneAtMs = Math.min(lock.goneAtMs, ...takenFrom(lock));
    return grants
      .filter(({ channelId }) => channelId === lock.channelId)
      .flatMap((grant) => {
        if (grant.startedAtMs > lock.takenAtMs && grant.startedAtMs < goneAtMs) {
          return [`${nameOf(grant)} was granted while ${lock.userId} had a lock`];
        }
        const endMs = Math.min(grant.expiresAtMs, ...endsOf(grant, told).map(({ timeMs }) => timeMs));
        const isDeleted = deletions.some(
          ({ channelId, atMs }) => channelId === lock.channelId && atMs >= grant.startedAtMs && atMs <= lock.takenAtMs,
        );
        if (isDeleted) return [];
        const isInside = grant.releases === 0 && lock.takenAtMs > grant.startedAtMs && lock.takenAtMs < endMs;
        return isInside ? [`${lock.userId} got a lock while ${nameOf(grant)} ran`] : [];
      });
  });
}
