import type { FloorRequestGranted, FloorRevoked, LogEntry } from "../../../src/domain/change.js";
import { type ActiveSpeaker, type FloorPriority, outranks, type SpeakerPause } from "../../../src/domain/floor.js";
import type { FloorNews } from "../../../src/domain/ports/floorStore.js";

/** A floor that was granted to a press. Times are ms by Redis's clock. */
export interface Grant {
  channelId: string;
  leaseId: number;
  userId: string;
  /** Distinguishes the sessions of a user. */
  userName: string;
  startedAtMs: number;
  /** When the lease expires, by the last renewal. */
  expiresAtMs: number;
  talkUntilMs: number;
  /** How often it was released successfully. */
  releases: number;
  /** How often it was renewed after its release. */
  lateRenewals: number;
}

/** A request that waited for a floor. Times are ms by Redis's clock. */
export interface Wait {
  channelId: string;
  queueId: number;
  userName: string;
  priority: FloorPriority;
  enteredAtMs: number;
  /**
   * How often the session stopped successfully afterwards. Each stop gave up the place, or the floor if it had been
   * granted.
   */
  stops: number;
  /** True if a later press of the session was granted or denied. That ends an earlier wait. */
  isAnswered: boolean;
}

/** A lock that a legacy router wrote, and the time at which it had certainly ended. */
export interface Lock {
  channelId: string;
  userId: string;
  takenAtMs: number;
  goneAtMs: number;
}

/** A renewal that the store accepted. Times are ms by the clock of the machine, on which Redis runs. */
export interface Renewal {
  grant: Grant;
  askedAtMs: number;
  answeredAtMs: number;
}

/** A pause, and the pause that it named in order to replace it. */
export interface MadePause {
  pauseId: string;
  replacePauseId: string | undefined;
}

/** The record of the floors of one event. */
export interface FloorHistory {
  pauses: MadePause[];
  grants: Grant[];
  renewals: Renewal[];
  waits: Wait[];
  locks: Lock[];
  /**
   * When legacy routers deleted a speaker key. They check the holder first, but not in the same step, so it may have
   * been another holder's key.
   */
  deletions: { channelId: string; atMs: number }[];
  /** The log entries and floor messages that Redis published, in its order. */
  published: (LogEntry | FloorNews)[];
}

/** Returns the laws of the floor that a history breaks, each as a sentence. All leases must have ended. */
export function findBreaches(history: FloorHistory): string[] {
  return [
    ...rising(history),
    ...oneEnd(history),
    ...bounded(history),
    ...entitled(history),
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

/** Finds the log entries about the end of a grant. */
function endsOf(grant: Grant, published: FloorHistory["published"]): LogEntry[] {
  return published.filter((one): one is LogEntry => {
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

function oneEnd({ grants, published }: FloorHistory): string[] {
  return grants.flatMap((grant) => {
    const ends = endsOf(grant, published);
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

// No lease is renewed for a user who is certainly not a member of the channel.
function entitled({ renewals, published }: FloorHistory): string[] {
  return renewals.flatMap(({ grant, askedAtMs, answeredAtMs }) => {
    const changes = published.flatMap((one) =>
      "kind" in one && one.kind === "membershipChanged" && one.userId === grant.userId ? [one] : [],
    );
    const before = changes.findLast(({ timeMs }) => timeMs < askedAtMs);
    const isUncertain = changes.some(
      ({ timeMs, channelIds }) => timeMs >= askedAtMs && timeMs <= answeredAtMs && channelIds.includes(grant.channelId),
    );
    if (before === undefined || isUncertain || before.channelIds.includes(grant.channelId)) return [];
    return [`${nameOf(grant)} was renewed for a user who is not a member`];
  });
}

// A user who pre-empts a lease has the higher priority. The next holder is published right after the end.
function outranked({ grants, published }: FloorHistory): string[] {
  const breaches: string[] = [];
  const held = new Map<string, FloorPriority>();
  const cut = new Map<string, Grant>();
  for (const one of published) {
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

// In Redis's order the end of a floor is published before the next holder, or together with it.
function oneHolder({ grants, published }: FloorHistory): string[] {
  const breaches: string[] = [];
  const holders = new Map<string, Grant>();
  for (const one of published) {
    if ("kind" in one) {
      for (const [channelId, grant] of holders) {
        if (endsOf(grant, [one]).length > 0) holders.delete(channelId);
      }
      continue;
    }
    for (const { channelId, holder, hasLease } of one.changes) {
      const before = holders.get(channelId);
      const grant = grants.find((known) => holder !== undefined && isOf(known, holder));
      // A floor that is released during a pause goes to the broadcaster in the same step.
      const isHandedOn = before?.releases === 1 && (!hasLease || isFromQueue(grant, published));
      if (before !== undefined && holder !== undefined && before !== grant && !isHandedOn) {
        breaches.push(`${nameOf(before)} ran when ${holder.userId} was given the floor`);
      }
      if (grant === undefined) holders.delete(channelId);
      else holders.set(channelId, grant);
    }
  }
  return breaches;
}

function isFromQueue(grant: Grant | undefined, published: FloorHistory["published"]): boolean {
  return grant !== undefined && published.some((one) => isGrantOf(one, grant));
}

function isGrantOf(one: FloorHistory["published"][number], { channelId, leaseId }: Grant): boolean {
  return "kind" in one && one.kind === "floorRequestGranted" && one.channelId === channelId && one.leaseId === leaseId;
}

/** Finds where the end of a request was published: its own entries, and the first pause since it began to wait. */
function endsOfWait({ channelId, queueId, enteredAtMs }: Wait, published: FloorHistory["published"]) {
  const own: number[] = [];
  let pause = Number.POSITIVE_INFINITY;
  published.forEach((one, index) => {
    if (!("kind" in one)) return;
    const isEnd = one.kind === "floorRequestGranted" || one.kind === "floorRequestDenied";
    if (isEnd && one.channelId === channelId && one.queueId === queueId) own.push(index);
    // No request begins to wait during a pause.
    if (one.kind === "speakersPaused" && one.timeMs >= enteredAtMs) pause = Math.min(pause, index);
  });
  return { own, pause };
}

const nameOfWait = ({ channelId, queueId, userName }: Wait) => `request ${queueId} of ${userName} on ${channelId}`;

function oneEndOfWait({ waits, published }: FloorHistory): string[] {
  return waits.flatMap((wait) => {
    const { own, pause } = endsOfWait(wait, published);
    const [end] = own;
    if (own.length > 1) return [`${nameOfWait(wait)} has ${own.length} ends`];
    if (end !== undefined) return end > pause ? [`${nameOfWait(wait)} outlasted a pause`] : [];
    if (pause < Number.POSITIVE_INFINITY || wait.stops > 0 || wait.isAnswered) return [];
    return [`${nameOfWait(wait)} has no end`];
  });
}

/**
 * Returns the requests that certainly waited for a channel when a message was published: their end came in a later
 * step.
 */
function waitingAt({ waits, published }: FloorHistory, channelId: string, index: number): Wait[] {
  const timeMs = published[index]?.timeMs ?? 0;
  return waits.filter((wait) => {
    if (wait.channelId !== channelId || wait.enteredAtMs >= timeMs) return false;
    const { own, pause } = endsOfWait(wait, published);
    // It is not known when a session gave up its place.
    const isCertain = own.length > 0 || (wait.stops === 0 && !wait.isAnswered);
    const endMs = published[Math.min(pause, ...own)]?.timeMs ?? 0;
    return isCertain && endMs > timeMs;
  });
}

// The higher priority is served first, then the older request.
function servedInOrder(history: FloorHistory): string[] {
  return history.published.flatMap((one, index) => {
    if (!("kind" in one) || one.kind !== "floorRequestGranted") return [];
    return waitingAt(history, one.channelId, index)
      .filter((wait) => outranks(wait.priority, one.priority) || isOlder(wait, one))
      .map((wait) => `${nameOfWait(wait)} was passed over for ${one.queueId} of ${one.userName}`);
  });
}

function isOlder({ priority, queueId }: Wait, granted: FloorRequestGranted): boolean {
  return priority === granted.priority && queueId < granted.queueId;
}

// While a request waits, the floor is not free, and only a press with a higher priority takes it.
function neverFree(history: FloorHistory): string[] {
  const breaches: string[] = [];
  const holders = new Map<string, Grant | undefined>();
  const cut = new Set<string>();
  history.published.forEach((one, index) => {
    if ("kind" in one) {
      if (one.kind === "floorRevoked" && one.cause === "preEmpted") cut.add(one.channelId);
      return;
    }
    for (const { channelId, holder, hasLease } of one.changes) {
      const grant = history.grants.find((known) => holder !== undefined && isOf(known, holder));
      const isNew = holder === undefined || (hasLease && grant !== holders.get(channelId));
      const isServed = cut.has(channelId) || isFromQueue(grant, history.published);
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

// During a pause only exempt users and the broadcaster hold a floor or are granted one.
function latched({ locks, published }: FloorHistory): string[] {
  const breaches: string[] = [];
  const holders = new Map<string, string | undefined>();
  let exempt: string[] | undefined;
  for (const one of published) {
    if (!("kind" in one)) {
      for (const { channelId, holder } of one.changes) {
        // The end of a lock that a router wrote is not published.
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

// A pause replaces another only if it names that pause or has the same broadcaster, and records it. Each pause has
// one end.
function onePause({ pauses, published }: FloorHistory): string[] {
  const breaches: string[] = [];
  let standing: SpeakerPause | undefined;
  for (const one of published) {
    if (!("kind" in one)) continue;
    if (one.kind === "speakersResumed") {
      if (standing?.pauseId !== one.pauseId) breaches.push(`the end of ${one.pauseId} was told while it did not stand`);
      standing = undefined;
    } else if (one.kind === "speakersPaused") {
      const { pause, replacedPauseId } = one;
      if (replacedPauseId !== standing?.pauseId)
        breaches.push(`${pause.pauseId} does not record the pause that it replaced`);
      const { replacePauseId } = pauses.find(({ pauseId }) => pauseId === pause.pauseId) ?? {};
      const speaksOn = pause.broadcaster && pause.broadcaster.userId === standing?.broadcaster?.userId;
      const mayReplace = replacePauseId === undefined ? speaksOn : replacePauseId === standing?.pauseId;
      if (standing !== undefined && !mayReplace) breaches.push(`${pause.pauseId} displaced ${standing.pauseId}`);
      standing = pause;
    }
  }
  return breaches;
}

// A legacy router's lock excludes leases, and leases exclude it. Only a higher priority or a pause takes its floor,
// and both record that.
function besideLocks({ grants, locks, deletions, published }: FloorHistory): string[] {
  const takenFrom = ({ channelId, userId, takenAtMs, goneAtMs }: Lock) =>
    published.flatMap((one) => {
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
        const endMs = Math.min(grant.expiresAtMs, ...endsOf(grant, published).map(({ timeMs }) => timeMs));
        const isDeleted = deletions.some(
          ({ channelId, atMs }) => channelId === lock.channelId && atMs >= grant.startedAtMs && atMs <= lock.takenAtMs,
        );
        if (isDeleted) return [];
        const isInside = grant.releases === 0 && lock.takenAtMs > grant.startedAtMs && lock.takenAtMs < endMs;
        return isInside ? [`${lock.userId} got a lock while ${nameOf(grant)} ran`] : [];
      });
  });
}
