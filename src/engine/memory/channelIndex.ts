import { alreadyAssigned } from "../../domain/membership.js";
import type { ChannelIndex } from "../../domain/ports/channelIndex.js";
import { addChannel, openEvent, revoke, vacate } from "./floor.js";
import { endQueue } from "./floorQueue.js";
import { settledLease } from "./leases.js";
import type { EventRecord, MemoryState } from "./state.js";

export function createChannelIndex(state: MemoryState): ChannelIndex {
  function removeChannel(event: EventRecord, channelId: string, actor: string): void {
    event.channelIds.delete(channelId);
    endQueue(state, event, channelId, "receiveOnly");
    const lease = settledLease(state, event, channelId);
    vacate(state, event, channelId);
    if (lease !== undefined) revoke(state, event, actor, lease, "noPermission");
  }

  return {
    async setChannelEvent(channelId, eventId, actor, onlyIfUnassigned) {
      const previous = state.eventOfChannel.get(channelId);
      if (previous === eventId) return previous;
      if (previous !== undefined && onlyIfUnassigned) {
        throw alreadyAssigned(channelId);
      }
      const event = openEvent(state, eventId);
      if (previous !== undefined) {
        const left = openEvent(state, previous);
        removeChannel(left, channelId, actor);
        // The channel's next lease id must be above all its earlier ones.
        event.lastLeaseId = Math.max(event.lastLeaseId, left.lastLeaseId);
      }
      addChannel(state, event, channelId);
      return previous;
    },

    async getChannelEvent(channelId) {
      return state.eventOfChannel.get(channelId);
    },

    async listEventChannels(eventId) {
      return [...(state.events.get(eventId)?.channelIds ?? [])].sort();
    },
  };
}
