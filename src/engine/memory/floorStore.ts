import { isHeldBack, notTheHolder, outranks, staleLease } from "../../domain/floor.js";
import type { FloorStore, PttHolder } from "../../domain/ports/floorStore.js";
import { currentLease, grant, notifyFloor, openEvent, revoke } from "./floor.js";
import { enterQueue, leaveQueue, listWaiting, readQueue } from "./floorQueue.js";
import { release, settledLease } from "./leases.js";
import type { EventRecord, Lease, MemoryState } from "./state.js";

type SpeakerStore = Omit<FloorStore, "pauseAllSpeakers" | "resumeSpeakers" | "upholdPause" | "listPausedEvents">;

function isHeldUnder(lease: Lease | undefined, holder: PttHolder): boolean {
  if (lease === undefined) return false;
  if ("leaseId" in holder) return lease.leaseId === holder.leaseId;
  return lease.speaker.userId === holder.userId && lease.sessionId === holder.sessionId;
}

function toGrant({ eventId }: EventRecord, { leaseId, speaker, talkUntilMs }: Lease) {
  return { granted: true, eventId, leaseId, speaker, talkUntilMs } as const;
}

export function createFloorStore(state: MemoryState): SpeakerStore {
  return {
    async startPtt(request) {
      const { actor, channelId, userId, sessionId, priority, leaseTimeMs, queue } = request;
      const event = openEvent(state, state.eventOf(channelId).eventId);
      const { pause } = event;
      const lease = settledLease(state, event, channelId);
      // The answer replaces a request of the session that is still waiting.
      const before = leaveQueue(state, event, request);
      const denial = { granted: false, holder: lease?.speaker, pause } as const;
      const ban = state.standingBan(userId);
      if (ban !== undefined) return { ...denial, cause: "receiveOnly", ban };
      if (isHeldBack(pause, userId)) return { ...denial, cause: "retryAfter" };
      if (!state.isAdmitted(event, request)) return { ...denial, cause: "receiveOnly" };
      if (lease !== undefined) {
        // The broadcaster of a pause holds the floor on all of the broadcaster's devices.
        const isOwn =
          isHeldUnder(lease, { userId, sessionId }) || (lease.isBroadcast && lease.speaker.userId === userId);
        if (isOwn) {
          if (outranks(priority, lease.speaker.priority)) {
            lease.speaker = { ...lease.speaker, priority };
            notifyFloor(state, event, channelId);
          }
          return toGrant(event, lease);
        }
        if (!outranks(priority, lease.speaker.priority)) {
          if (pause !== undefined || queue === undefined) return { ...denial, cause: "anotherHasPermission" };
          const place = enterQueue(state, event, { ...request, queue }, before);
          if (place === undefined) return { ...denial, cause: "queueFull" };
          const isSooner = before === undefined || place.expiresAtMs < before.endsAtMs;
          if (isSooner) notifyFloor(state, event, channelId, { lookAtMs: place.expiresAtMs });
          return { granted: false, eventId: event.eventId, place, holder: lease.speaker };
        }
        revoke(state, event, actor, lease, "preEmpted", userId);
      }
      return toGrant(event, grant(state, event, request, leaseTimeMs));
    },

    async renewPtt(channelId, leaseId, ignoresMembership = false) {
      const event = openEvent(state, state.eventOf(channelId).eventId);
      const lease = settledLease(state, event, channelId);
      if (lease?.leaseId !== leaseId) throw staleLease(channelId);
      const { userId } = lease.speaker;
      const maySpeakOn =
        !isHeldBack(event.pause, userId) &&
        state.standingBan(userId) === undefined &&
        state.isAdmitted(event, { userId, channelId, ignoresMembership });
      if (!lease.isBroadcast && !maySpeakOn) {
        revoke(state, event, "", lease, "noPermission");
        release(state, event, channelId);
        throw staleLease(channelId);
      }
      // Never set the expiry earlier, even if the clock was set back.
      const { expiresAtMs } = lease.speaker;
      const extendedMs = Math.min(state.now() + lease.leaseTimeMs, lease.talkUntilMs);
      lease.speaker = { ...lease.speaker, expiresAtMs: Math.max(expiresAtMs, extendedMs) };
      return lease.speaker.expiresAtMs;
    },

    async stopPtt(channelId, holder) {
      const event = openEvent(state, state.eventOf(channelId).eventId);
      const lease = settledLease(state, event, channelId);
      if ("userId" in holder && leaveQueue(state, event, { channelId, ...holder })) return;
      if (!isHeldUnder(lease, holder)) {
        throw "leaseId" in holder ? staleLease(channelId) : notTheHolder(channelId);
      }
      release(state, event, channelId);
    },

    async getChannelState(channelId) {
      const event = state.eventOf(channelId);
      return { eventId: event.eventId, holder: currentLease(state, event, channelId)?.speaker };
    },

    async getActiveSpeakers(eventId) {
      const event = state.events.get(eventId);
      if (event === undefined) return { speakers: [] };
      const speakers = [...event.leases.keys()].sort().flatMap((id) => currentLease(state, event, id)?.speaker ?? []);
      const waiting = listWaiting(state, event);
      return { speakers, ...(waiting.length > 0 && { waiting }), pause: state.standingPause(event) };
    },

    async readFloors(eventId, channelIds = []) {
      const event = state.events.get(eventId);
      const timeMs = state.now();
      if (event === undefined) return { epoch: "", version: 0, timeMs, speakers: [] };
      const wanted = channelIds.length === 0 ? [...event.leases.keys()] : [...channelIds];
      const speakers = wanted.sort().flatMap((id) => currentLease(state, event, id)?.speaker ?? []);
      return { epoch: event.log.epoch, version: event.floorVersion, timeMs, speakers };
    },

    async endLeases(eventId, channelIds = []) {
      if (!state.events.has(eventId)) return [];
      const event = openEvent(state, eventId);
      // Requests wait only for floors that are held, so channels without a lease need no look.
      const wanted = channelIds.length === 0 ? [...event.leases.keys()] : channelIds;
      return wanted.flatMap((channelId) => {
        const lease = settledLease(state, event, channelId);
        if (lease === undefined || lease.isBroadcast) return [];
        const ends = readQueue(state, event, channelId).map(({ endsAtMs }) => endsAtMs);
        return { channelId, remainingMs: Math.min(lease.speaker.expiresAtMs, ...ends) - state.now() };
      });
    },

    async followFloor(eventId, listener) {
      return state.floorListeners.add(eventId, listener);
    },

    async followChannel(channelId, listener) {
      return state.speakerListeners.add(channelId, listener);
    },
  };
}
