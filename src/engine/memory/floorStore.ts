import { SquelchError } from "../../domain/errors.js";
import { isHeldBack, LEASE_TTL_MS } from "../../domain/floor.js";
import type { FloorStore, PttHolder } from "../../domain/ports.js";
import type { Lease, MemoryState } from "./state.js";

type SpeakerStore = Pick<
  FloorStore,
  "startPtt" | "stopPtt" | "getChannelState" | "getActiveSpeakers" | "followChannel"
>;

function isHeldUnder(lease: Lease | undefined, holder: PttHolder): boolean {
  if (lease === undefined) return false;
  if ("leaseId" in holder) return lease.leaseId === holder.leaseId;
  return lease.speaker.userId === holder.userId && lease.sessionId === holder.sessionId;
}

export function createFloorStore(state: MemoryState): SpeakerStore {
  return {
    async startPtt({ channelId, userId, userName, sessionId, priority }) {
      const event = state.open(state.eventOf(channelId).eventId);
      const { pause } = event;
      const lease = state.currentLease(event, channelId);
      const denial = { granted: false, holder: lease?.speaker, pause } as const;
      if (isHeldBack(pause, userId)) return { ...denial, cause: "retryAfter" };
      if (!event.members.get(userId)?.channelIds.includes(channelId)) return { ...denial, cause: "receiveOnly" };
      if (lease !== undefined) {
        // What a pause has given to its broadcaster is his on every device.
        const isOwn =
          isHeldUnder(lease, { userId, sessionId }) || (lease.isBroadcast && lease.speaker.userId === userId);
        if (!isOwn) return { ...denial, cause: "anotherHasPermission" };
        return { granted: true, leaseId: lease.leaseId, speaker: lease.speaker };
      }
      const startedAtMs = state.now();
      const expiresAtMs = startedAtMs + LEASE_TTL_MS;
      const speaker = { channelId, userId, userName, startedAtMs, expiresAtMs, priority };
      const { leaseId } = state.give(event, speaker, sessionId, false);
      return { granted: true, leaseId, speaker };
    },

    async stopPtt(channelId, holder) {
      const event = state.open(state.eventOf(channelId).eventId);
      if (!isHeldUnder(state.currentLease(event, channelId), holder)) {
        throw new SquelchError(
          "failedPrecondition",
          "leaseId" in holder
            ? `lease_id: the floor of "${channelId}" is not held under it`
            : `user_id: the floor of "${channelId}" is not held by that user under that session_id`,
        );
      }
      if (event.pause?.broadcaster !== undefined) state.giveToBroadcaster(event, event.pause, channelId);
      else state.vacate(event, channelId);
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

    async followChannel(channelId, listener) {
      return state.speakerListeners.add(channelId, listener);
    },
  };
}
