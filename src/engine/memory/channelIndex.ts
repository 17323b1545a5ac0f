import { SquelchError } from "../../domain/errors.js";
import type { ChannelIndex } from "../../domain/ports.js";
import { endQueue } from "./floorQueue.js";
import type { EventRecord, MemoryState } from "./state.js";

export function createChannelIndex(state: MemoryState): ChannelIndex {
  function removeChannel(event: EventRecord, channelId: string, actor: string): void {
    event.channelIds.delete(channelId);
    endQueue(state, event, channelId, "receiveOnly");
    const lease = state.settledLease(event, channelId);
    state.vacate(event, channelId);
    if (lease !== undefined) state.revoke(event, actor, lease, "noPermission");
  }

  return {
    async setChannelEvent(channelId, eventId, actor, onlyIfUnassigned) {
      const previous = state.eventOfChannel.get(channelId);
      if (previous === eventId) return previous;
      if (previous !== undefined && onlyIfUnassigned) {
        throw new SquelchError(
          "failedPrecondition",
          `channel_id: "${channelId}" belongs to event "${previous}"; unset only_if_unassigned to move it`,
        );
      }
      const event = state.open(eventId);
      if (previous !== undefined) {
        const left = state.open(previous);
        removeChannel(left, channelId, actor);
        // The channel's next lease must be above all it ever had.
        event.lastLeaseId = Math.max(event.lastLeaseId, left.lastLeaseId);
      }
      state.addChannel(event, channelId);
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
