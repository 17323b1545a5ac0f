import { isHeldBack, notTheHolder, outranks, staleLease } from "../../domain/floor.js";
import type { FloorStore, PttHolder } from "../../domain/ports.js";
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
    async startPtt({ actor, channelId, userId, userName, sessionId, priority, talkTimeMs, leaseTimeMs }) {
      const event = state.open(state.eventOf(channelId).eventId);
      const { pause } = event;
      const lease = state.settledLease(event, channelId);
      const denial = { granted: false, holder: lease?.speaker, pause } as const;
      const ban = state.standingBan(userId);
      if (ban !== undefined) return { ...denial, cause: "receiveOnly", ban };
      if (isHeldBack(pause, userId)) return { ...denial, cause: "retryAfter" };
      if (!event.members.get(userId)?.channelIds.includes(channelId)) return { ...denial, cause: "receiveOnly" };
      if (lease !== undefined) {
        // What a pause has given to its broadcaster is his on every device.
        const isOwn =
          isHeldUnder(lease, { userId, sessionId }) || (lease.isBroadcast && lease.speaker.userId === userId);
        if (isOwn) {
          if (outranks(priority, lease.speaker.priority)) {
            lease.speaker = { ...lease.speaker, priority };
            state.tellFloor(event, channelId);
          }
          return toGrant(event, lease);
        }
        if (!outranks(priority, lease.speaker.priority)) return { ...denial, cause: "anotherHasPermission" };
        state.revoke(event, actor, lease, "preEmpted", userId);
      }
      const startedAtMs = state.now();
      const talkUntilMs = startedAtMs + talkTimeMs;
      const expiresAtMs = Math.min(startedAtMs + leaseTimeMs, talkUntilMs);
      const speaker = { channelId, userId, userName, startedAtMs, expiresAtMs, priority };
      const terms = { sessionId, leaseTimeMs, talkUntilMs, isBroadcast: false };
      return toGrant(event, state.give(event, { speaker, ...terms }));
    },

    async renewPtt(channelId, leaseId) {
      const event = state.open(state.eventOf(channelId).eventId);
      const lease = state.settledLease(event, channelId);
      if (lease?.leaseId !== leaseId) throw staleLease(channelId);
      // Never earlier than it is: a clock that was set back takes nothing away.
      const { expiresAtMs } = lease.speaker;
      const extendedMs = Math.min(state.now() + lease.leaseTimeMs, lease.talkUntilMs);
      lease.speaker = { ...lease.speaker, expiresAtMs: Math.max(expiresAtMs, extendedMs) };
      return lease.speaker.expiresAtMs;
    },

    async stopPtt(channelId, holder) {
      const event = state.open(state.eventOf(channelId).eventId);
      if (!isHeldUnder(state.settledLease(event, channelId), holder)) {
        throw "leaseId" in holder ? staleLease(channelId) : notTheHolder(channelId);
      }
      state.free(event, channelId);
    },

    async getChannelState(channelId) {
      const event = state.eventOf(channelId);
      return { eventId: event.eventId, holder: state.currentLease(event, channelId)?.speaker };
    },

    async getActiveSpeakers(eventId) {
      const event = state.events.get(eventId);
      if (event === undefined) return { speakers: [] };
      const speakers = [...event.leases.keys()].sort().flatMap((id) => state.currentLease(event, id)?.speaker ?? []);
      return { speakers, pause: state.standingPause(event) };
    },

    async readFloors(eventId, channelIds = []) {
      const event = state.events.get(eventId);
      const timeMs = state.now();
      if (event === undefined) return { epoch: "", version: 0, timeMs, speakers: [] };
      const wanted = channelIds.length === 0 ? [...event.leases.keys()] : [...channelIds];
      const speakers = wanted.sort().flatMap((id) => state.currentLease(event, id)?.speaker ?? []);
      return { epoch: event.log.epoch, version: event.floorVersion, timeMs, speakers };
    },

    async endLeases(eventId, channelIds = []) {
      if (!state.events.has(eventId)) return [];
      const event = state.open(eventId);
      const wanted = channelIds.length === 0 ? [...event.leases.keys()] : channelIds;
      return wanted.flatMap((channelId) => {
        const lease = state.settledLease(event, channelId);
        if (lease === undefined || lease.isBroadcast) return [];
        return { channelId, remainingMs: lease.speaker.expiresAtMs - state.now() };
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
