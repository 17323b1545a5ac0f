import type { FloorRevoked, LogEntry } from "../../src/domain/change.js";
import { type ActiveSpeaker, type FloorPriority, outranks } from "../../src/domain/floor.js";
import type { FloorNews } from "../../src/domain/ports.js";

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

/** A lock that a legacy router wrote, and the time at which it was gone for certain. */
export interface Lock {
  channelId: string;
  userId: string;
  takenAtMs: number;
  goneAtMs: number;
}

/** What happened to the floors of one event. */
export interface FloorHistory {
  grants: Grant[];
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
      const isHandedOn = before?.releases === 1 && !hasLease;
      if (before !== undefined && holder !== undefined && before !== grant && !isHandedOn) {
        breaches.push(`${nameOf(before)} ran when ${holder.userId} was given the floor`);
      }
      if (grant === undefined) holders.delete(channelId);
      else holders.set(channelId, grant);
    }
  }
  return breaches;
}

// Between a pause and its end nobody but the exempt and the broadcaster is given a floor.
function latched({ told }: FloorHistory): string[] {
  const breaches: string[] = [];
  let exempt: string[] | undefined;
  for (const one of told) {
    if (!("kind" in one)) {
      const intruders = one.changes.filter(({ holder }) => holder && exempt && !exempt.includes(holder.userId));
      breaches.push(...intruders.map(({ holder }) => `${holder?.userId} was given a floor during a pause`));
    } else if (one.kind === "speakersPaused") {
      exempt = [...one.pause.exemptUserIds, one.pause.broadcaster?.userId ?? ""];
    } else if (one.kind === "speakersResumed") exempt = undefined;
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
