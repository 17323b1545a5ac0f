import { adoptChannels, type ChannelMoves } from "./channelIndex.js";
import { attempt } from "./connections.js";
import type { EventScripts } from "./eventScripts.js";
import { CHANNEL_EVENTS, eventKeys } from "./keys.js";
import type { CommandConnection } from "./openConnection.js";

/** {@link ChannelMoves} where the scripts of every event read and write `channel:events` themselves. */
export function createLegacyMoves(commands: CommandConnection, scripts: EventScripts): ChannelMoves {
  return {
    async move(channelId, from, to, actor) {
      let lastLeaseId = 0;
      if (from === null) {
        if ((await attempt(commands.hsetnx(CHANNEL_EVENTS, channelId, to))) === 0) return false;
      } else if (from !== to) {
        const keys = scripts.channelKeys(from, [channelId]);
        lastLeaseId = (await scripts.runFor(from, "leave-event", keys, [channelId, to, actor])) as number;
        if (lastLeaseId < 0) return false;
      }
      await adoptChannels(scripts, to, [channelId], lastLeaseId);
      return true;
    },

    adopt: (eventId, channelIds) => adoptChannels(scripts, eventId, channelIds, 0),

    async release(eventId, channelIds) {
      // The index may have grown since the hash was read: only what the hash gives to another event is removed.
      const owners = await attempt(commands.hmget(CHANNEL_EVENTS, ...channelIds));
      const stale = channelIds.filter((_, index) => owners[index] !== eventId);
      if (stale.length > 0) await attempt(commands.srem(eventKeys(eventId).channels, ...stale));
    },

    async settle() {
      // The scripts have looked themselves.
    },
  };
}
