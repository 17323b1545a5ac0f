import { CLAIM_TIME_MS, type FloorDenyCause, outranks, type WaitingSpeaker } from "../../domain/floor.js";
import type { QueuePlace, StartPttRequest } from "../../domain/ports/floorStore.js";
import { grant, nextLeaseId } from "./floor.js";
import type { EventRecord, Lease, MemoryState, QueuedRequest } from "./state.js";

// True if request `a` is served before `b`: it has the higher priority, or the same one and is older.
function goesBefore(a: QueuedRequest, b: QueuedRequest): boolean {
  return a.priority === b.priority ? a.queueId < b.queueId : outranks(a.priority, b.priority);
}

function deny(state: MemoryState, event: EventRecord, request: QueuedRequest, cause: FloorDenyCause): void {
  const { channelId, userId, sessionId, queueId } = request;
  state.append(event, "", { kind: "floorRequestDenied", channelId, userId, sessionId, queueId, cause });
}

/** Returns the waiting requests of a channel, the next first. Denies and removes requests that have waited too long. */
export function readQueue(state: MemoryState, event: EventRecord, channelId: string): QueuedRequest[] {
  const queue = event.queues.get(channelId) ?? [];
  const isOver = (request: QueuedRequest) => request.endsAtMs <= state.now();
  for (const request of queue.filter(isOver)) {
    queue.splice(queue.indexOf(request), 1);
    deny(state, event, request, "anotherHasPermission");
  }
  if (queue.length === 0) event.queues.delete(channelId);
  return queue;
}

/** Removes the request of a session from the queue and returns it. Returns undefined if the session does not wait. */
export function leaveQueue(
  state: MemoryState,
  event: EventRecord,
  { channelId, userId, sessionId }: Pick<QueuedRequest, "channelId" | "userId" | "sessionId">,
): QueuedRequest | undefined {
  const queue = readQueue(state, event, channelId);
  const index = queue.findIndex((one) => one.userId === userId && one.sessionId === sessionId);
  const [request] = index < 0 ? [] : queue.splice(index, 1);
  if (queue.length === 0) event.queues.delete(channelId);
  return request;
}

/** Denies and removes all waiting requests of a user. */
export function leaveQueues(state: MemoryState, event: EventRecord, userId: string): void {
  for (const channelId of [...event.queues.keys()].sort()) {
    const own = readQueue(state, event, channelId).filter((request) => request.userId === userId);
    for (const request of own) {
      leaveQueue(state, event, request);
      deny(state, event, request, "receiveOnly");
    }
  }
}

/** Denies and removes all waiting requests of a channel. */
export function endQueue(state: MemoryState, event: EventRecord, channelId: string, cause: FloorDenyCause): void {
  const queue = readQueue(state, event, channelId);
  event.queues.delete(channelId);
  for (const request of queue) deny(state, event, request, cause);
}

/**
 * Adds a request to the queue. If the queue is full, a request of higher priority than the last one replaces it. Returns
 * undefined if there is no room.
 *
 * @param before the earlier request of the same session, if it was waiting: the new one keeps its age
 */
export function enterQueue(
  state: MemoryState,
  event: EventRecord,
  { actor: _, queue: terms, ...request }: StartPttRequest & { queue: NonNullable<StartPttRequest["queue"]> },
  before: QueuedRequest | undefined,
): QueuePlace | undefined {
  const queue = readQueue(state, event, request.channelId);
  const queueId = before?.queueId ?? nextLeaseId(state, event);
  const priority = before && outranks(before.priority, request.priority) ? before.priority : request.priority;
  const entry = { ...request, priority, queueId, endsAtMs: state.now() + terms.waitMs };
  const last = queue.at(-1);
  if (last !== undefined && queue.length >= terms.limit) {
    if (!outranks(priority, last.priority)) return undefined;
    queue.pop();
    deny(state, event, last, "queueFull");
  }
  const index = queue.filter((one) => goesBefore(one, entry)).length;
  queue.splice(index, 0, entry);
  event.queues.set(request.channelId, queue);
  return { queueId, position: index + 1, waiting: queue.length, expiresAtMs: entry.endsAtMs };
}

/**
 * Gives a free floor to the first waiting request that may have it, and announces the grant. Denies the requests before it.
 * Returns the lease, or undefined if no request can be granted.
 */
export function serveQueue(state: MemoryState, event: EventRecord, channelId: string): Lease | undefined {
  const queue = readQueue(state, event, channelId);
  for (let request = queue.shift(); request !== undefined; request = queue.shift()) {
    if (queue.length === 0) event.queues.delete(channelId);
    const { userId, userName, sessionId, queueId, priority } = request;
    if (state.isAdmitted(event, request) && state.standingBan(userId) === undefined) {
      const lease = grant(state, event, request, Math.min(request.leaseTimeMs, CLAIM_TIME_MS));
      const { leaseId, talkUntilMs, speaker } = lease;
      const { startedAtMs, expiresAtMs } = speaker;
      const who = { channelId, userId, userName, sessionId, queueId };
      const terms = { leaseId, startedAtMs, expiresAtMs, talkUntilMs, priority };
      state.append(event, "", { kind: "floorRequestGranted", ...who, ...terms });
      return lease;
    }
    deny(state, event, request, "receiveOnly");
  }
  return undefined;
}

/** Returns all waiting requests of an event, ascending by channel id, then by position. */
export function listWaiting(state: MemoryState, event: EventRecord): WaitingSpeaker[] {
  return [...event.queues.keys()].sort().flatMap((channelId) =>
    (event.queues.get(channelId) ?? [])
      .filter(({ endsAtMs }) => endsAtMs > state.now())
      .map(({ userId, userName, priority, endsAtMs }, index) => {
        return { channelId, userId, userName, position: index + 1, priority, expiresAtMs: endsAtMs };
      }),
  );
}
