import type { FloorRevokeCause, SpeakerPause } from "../../domain/floor.js";
import type { StartPttRequest } from "../../domain/ports/floorStore.js";
import { EventRecord, type Lease, type MemoryState } from "./state.js";

/** Returns the event to write to and creates it if it is new. Announces the end of an expired pause first. */
export function openEvent(state: MemoryState, eventId: string): EventRecord {
  const known = state.events.get(eventId);
  if (known !== undefined) {
    if (known.pause !== undefined && state.standingPause(known) === undefined) endPause(state, known, "", true);
    return known;
  }
  const event = new EventRecord(eventId, state.limits.logLength);
  state.events.set(eventId, event);
  state.eventListeners.emit("", eventId);
  return event;
}

/** Adds a channel that no event owns. A standing pause gives its floor to the broadcaster. */
export function addChannel(state: MemoryState, event: EventRecord, channelId: string): void {
  state.eventOfChannel.set(channelId, event.eventId);
  event.channelIds.add(channelId);
  const pause = state.standingPause(event);
  if (pause !== undefined) giveToBroadcaster(state, event, pause, channelId);
}

/** Ends the event's pause and the broadcaster's leases. Returns the revision of the change that announces it. */
export function endPause(state: MemoryState, event: EventRecord, actor: string, expired: boolean): number {
  const pauseId = event.pause?.pauseId ?? "";
  event.pause = undefined;
  for (const [channelId, lease] of event.leases) {
    if (lease.isBroadcast) vacate(state, event, channelId);
  }
  return state.append(event, actor, { kind: "speakersResumed", pauseId, expired });
}

export function isRunning(state: MemoryState, lease: Lease): boolean {
  return lease.speaker.expiresAtMs > state.now();
}

/** Returns the channel's lease unless it has expired. Writes nothing. */
export function currentLease(state: MemoryState, event: EventRecord, channelId: string): Lease | undefined {
  const lease = event.leases.get(channelId);
  return lease !== undefined && isRunning(state, lease) ? lease : undefined;
}

/** Announces in the log that a speaker lost a lease. Returns the revision. The caller frees the floor. */
export function revoke(
  state: MemoryState,
  event: EventRecord,
  actor: string,
  { leaseId, speaker }: Lease,
  cause: FloorRevokeCause,
  byUserId = "",
): number {
  const { channelId, userId, startedAtMs } = speaker;
  return state.append(event, actor, {
    kind: "floorRevoked",
    channelId,
    userId,
    startedAtMs,
    leaseId,
    cause,
    byUserId,
  });
}

/** Gives a floor to the user of a request, under a new lease that expires after `firstMs` unless it is renewed. */
export function grant(
  state: MemoryState,
  event: EventRecord,
  request: Omit<StartPttRequest, "actor">,
  firstMs: number,
): Lease {
  const { channelId, userId, userName, sessionId, priority, leaseTimeMs } = request;
  const startedAtMs = state.now();
  const talkUntilMs = startedAtMs + request.talkTimeMs;
  const expiresAtMs = Math.min(startedAtMs + firstMs, talkUntilMs);
  const speaker = { channelId, userId, userName, startedAtMs, expiresAtMs, priority };
  return give(state, event, { speaker, sessionId, leaseTimeMs, talkUntilMs, isBroadcast: false });
}

/** Returns a lease id above every earlier one of the event. */
export function nextLeaseId(state: MemoryState, event: EventRecord): number {
  event.lastLeaseId = Math.max(event.lastLeaseId + 1, state.now());
  return event.lastLeaseId;
}

/** Gives a floor to a speaker under a new lease. The lease replaces an earlier one of the channel. */
function give(state: MemoryState, event: EventRecord, terms: Omit<Lease, "leaseId">): Lease {
  const lease = { leaseId: nextLeaseId(state, event), ...terms };
  event.leases.set(lease.speaker.channelId, lease);
  notifyFloor(state, event, lease.speaker.channelId, { timeMs: lease.speaker.startedAtMs });
  state.speakerListeners.emit(lease.speaker.channelId, lease.speaker);
  return lease;
}

/**
 * Notifies the listeners of the event's floor who speaks on a channel.
 *
 * @param options `lookAtMs`: when a request that starts to wait stops waiting, ms since 1970. `timeMs`: when the speaker
 *   changed, by default now
 */
export function notifyFloor(
  state: MemoryState,
  event: EventRecord,
  channelId: string,
  { lookAtMs, timeMs = state.now() }: { lookAtMs?: number; timeMs?: number } = {},
): void {
  const lease = event.leases.get(channelId);
  const hasLease = lease !== undefined && !lease.isBroadcast;
  const change = { channelId, holder: lease?.speaker, hasLease, ...(lookAtMs !== undefined && { lookAtMs }) };
  const news = { epoch: event.log.epoch, version: ++event.floorVersion, timeMs, changes: [change] };
  state.floorListeners.emit(event.eventId, news);
}

/** Gives a floor to the broadcaster of the pause until the pause ends. Does nothing if the pause has no broadcaster. */
export function giveToBroadcaster(
  state: MemoryState,
  event: EventRecord,
  pause: SpeakerPause,
  channelId: string,
): void {
  if (pause.broadcaster === undefined) return;
  const { startedAtMs, expiresAtMs } = pause;
  const speaker = { channelId, ...pause.broadcaster, startedAtMs, expiresAtMs, priority: "emergency" } as const;
  const lease = { sessionId: "", leaseTimeMs: 0, talkUntilMs: expiresAtMs, isBroadcast: true };
  give(state, event, { speaker, ...lease });
}

/** Takes the floor of a channel from its holder and leaves it free. */
export function vacate(state: MemoryState, event: EventRecord, channelId: string): void {
  if (!event.leases.delete(channelId)) return;
  notifyFloor(state, event, channelId);
  state.speakerListeners.emit(channelId, undefined);
}
