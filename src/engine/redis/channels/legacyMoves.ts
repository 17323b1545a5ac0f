import { attempt } from "../connection/connections.js";
import type { CommandConnection } from "../connection/openConnection.js";
import { CHANNEL_EVENTS } from "../keys.js";
import type { EventScripts } from "../scripts/eventScripts.js";
import { adoptChannels, type ChannelMoves, UNKNOWN_ACTOR } from "./channelIndex.js";

/**
 * {@link ChannelMoves} for the layout in which the scripts of every event read and write `channel:events` themselves.
 */
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
      // The index may have grown since the hash was read, so the script compares again.
      const release = (channelId: string) =>
        scripts.runFor(eventId, "release-channel", scripts.channelKeys(eventId, [channelId]), [
          channelId,
          UNKNOWN_ACTOR,
        ]);
      await Promise.all(channelIds.map(release));
    },

    async settle() {
      // The scripts have read the owner themselves.
    },
  };
}
