import type { LogStore } from "../../domain/ports/logStore.js";
import { openEvent } from "./floor.js";
import { settledLease } from "./leases.js";
import type { MemoryState } from "./state.js";

export function createLogStore(state: MemoryState): LogStore {
  return {
    async listEvents() {
      return [...state.events.keys()];
    },

    async followEvents(listener) {
      return state.eventListeners.add("", listener);
    },

    async loadEvent(eventId) {
      const event = openEvent(state, eventId);
      for (const channelId of event.leases.keys()) settledLease(state, event, channelId);
      const userIds = new Set([...event.members.keys(), ...event.disconnectedAtMs.keys()]);
      const members = [...userIds].map((userId) => {
        const { channelIds = [], revision = 0 } = event.members.get(userId) ?? {};
        const disconnectedAtMs = event.disconnectedAtMs.get(userId);
        const disconnected = disconnectedAtMs !== undefined && { disconnectedAtMs };
        return { userId, channelIds: [...channelIds], revision, ...disconnected };
      });
      return { ...event.log.position, members, pause: event.pause };
    },

    async readPosition(eventId) {
      return state.events.get(eventId)?.log.position;
    },

    async readLog(eventId, after, limit) {
      return state.events.get(eventId)?.log.read(after, limit);
    },

    async readLogBack(eventId, last, limit) {
      return state.events.get(eventId)?.log.readBack(last, limit);
    },

    async renewEpoch() {
      // The memory of one process never goes back.
    },

    async follow(eventId, listener) {
      return state.entryListeners.add(eventId, listener);
    },
  };
}
