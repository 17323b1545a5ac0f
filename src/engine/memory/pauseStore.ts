import { randomUUID } from "node:crypto";
import { bannedBroadcaster } from "../../domain/ban.js";
import {
  type ActiveSpeaker,
  alreadyPaused,
  mayReplace,
  pauseNotStanding,
  requestIdReused,
  type SpeakerPause,
} from "../../domain/floor.js";
import type { FloorStore } from "../../domain/ports/floorStore.js";
import { pauseDigest } from "../../domain/ports/pauseDigest.js";
import { endPause, giveToBroadcaster, openEvent, vacate } from "./floor.js";
import { settledLease } from "./leases.js";
import type { EventRecord, MemoryState } from "./state.js";

/** How long a repeat of a pause request returns the first outcome, ms. */
const REQUEST_MEMORY_MS = 3_600_000;

export function createPauseStore(
  state: MemoryState,
): Pick<FloorStore, "pauseAllSpeakers" | "resumeSpeakers" | "upholdPause" | "listPausedEvents"> {
  function forgetOldRequests(event: EventRecord): void {
    for (const [requestId, { outcome }] of event.pauseRequests) {
      if (state.now() - outcome.pause.startedAtMs < REQUEST_MEMORY_MS) break;
      event.pauseRequests.delete(requestId);
    }
  }

  /** Takes every floor from users who are not exempt and gives it to the broadcaster, if any. Returns the cut speakers. */
  function cutFloors(event: EventRecord, pause: SpeakerPause, isLatched: boolean): ActiveSpeaker[] {
    const cut: ActiveSpeaker[] = [];
    for (const channelId of [...event.channelIds].sort()) {
      const lease = settledLease(state, event, channelId);
      if (lease !== undefined && lease.speaker.userId !== pause.broadcaster?.userId) {
        // An exemption does not cover a floor that a replaced pause gave to its broadcaster.
        if (!lease.isBroadcast && pause.exemptUserIds.includes(lease.speaker.userId)) continue;
        cut.push(lease.speaker);
      }
      if (isLatched && pause.broadcaster !== undefined) giveToBroadcaster(state, event, pause, channelId);
      else vacate(state, event, channelId);
    }
    return cut;
  }

  return {
    async pauseAllSpeakers(whole) {
      const { eventId, durationMs, requestId, replacePauseId, ...request } = whole;
      const event = openEvent(state, eventId);
      const digest = pauseDigest(whole);
      forgetOldRequests(event);
      const first = event.pauseRequests.get(requestId);
      if (first !== undefined && first.digest !== digest) throw requestIdReused(requestId);
      if (first !== undefined) return first.outcome;
      const ban = request.broadcaster && state.standingBan(request.broadcaster.userId);
      if (ban !== undefined) throw bannedBroadcaster(ban);
      const standing = event.pause;
      if (standing !== undefined && !mayReplace({ replacePauseId, ...request }, standing)) {
        throw alreadyPaused(eventId, standing);
      }

      const startedAtMs = state.now();
      const expiresAtMs = startedAtMs + durationMs;
      const pause: SpeakerPause = { ...request, pauseId: randomUUID(), startedAtMs, expiresAtMs };
      event.queues.clear();
      const cut = cutFloors(event, pause, durationMs > 0);
      if (durationMs > 0) {
        event.pause = pause;
        state.pauseListeners.emit("", eventId);
      }
      const change = { pause, cut, ...(standing && { replacedPauseId: standing.pauseId }) };
      const revision = state.append(event, request.actor, { kind: "speakersPaused", ...change });
      const outcome = { ...change, revision, epoch: event.log.epoch, replicated: false };
      if (requestId !== "") event.pauseRequests.set(requestId, { digest, outcome });
      return outcome;
    },

    async resumeSpeakers(eventId, pauseId, actor) {
      const event = state.events.has(eventId) ? openEvent(state, eventId) : undefined;
      if (event?.pause === undefined || event.pause.pauseId !== pauseId) {
        throw pauseNotStanding(eventId, pauseId, event?.pause);
      }
      endPause(state, event, actor, false);
      return { ...event.log.position, replicated: false };
    },

    async upholdPause(eventId) {
      if (!state.events.has(eventId)) return false;
      const event = openEvent(state, eventId);
      if (event.pause === undefined) return false;
      // The expiry of a lease may have left a floor free.
      for (const channelId of event.channelIds) {
        if (settledLease(state, event, channelId) === undefined)
          giveToBroadcaster(state, event, event.pause, channelId);
      }
      return true;
    },

    async listPausedEvents() {
      return [...state.events.values()].flatMap(({ eventId, pause }) => (pause === undefined ? [] : eventId));
    },
  };
}
