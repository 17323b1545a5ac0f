import { contended, MAX_ATTEMPTS } from "../scripts/contention.js";
import type { EventScripts } from "../scripts/eventScripts.js";
import { adoptChannels, type ChannelMoves, UNKNOWN_ACTOR } from "./channelIndex.js";
import type { ChannelOwners } from "./channelOwners.js";

/** {@link ChannelMoves} for the Cluster layout. */
export interface ClusterMoves extends ChannelMoves {
  /**
   * Stores the owners of channels that an event's scripts do not know. Assigns channels without an owner to the event;
   * with `all`, only if no channel belongs to another event.
   */
  learn(eventId: string, channelIds: readonly string[], claim: "each" | "all"): Promise<void>;
}

/**
 * {@link ChannelMoves} for the layout in which `channel:events` and the events live in different slots.
 * `channel:events` decides the owner; then both events are updated. An event adds a channel only after the previous
 * event has removed it, even if another replica has to finish that removal. So a channel never has two speakers.
 */
export function createClusterMoves(scripts: EventScripts, owners: ChannelOwners): ClusterMoves {
  // Takes the floor away from the speaker of the channel. Returns the last lease id of the event, or 0 if the event
  // had removed the channel before.
  async function leave(channelId: string, from: string, to: string, actor: string): Promise<number> {
    await owners.note(from, [[channelId, from]]);
    const keys = scripts.channelKeys(from, [channelId]);
    return Math.max((await scripts.runFor(from, "leave-event", keys, [channelId, to, actor])) as number, 0);
  }

  // Removes channels from the events that they moved away from. Returns the last lease id of these events.
  async function finishMoves(channelIds: readonly string[], to: string, actor: string): Promise<number> {
    let lastLeaseId = 0;
    for (const move of await owners.readUnfinished(channelIds)) {
      if (move.from !== to) lastLeaseId = Math.max(lastLeaseId, await leave(move.channelId, move.from, to, actor));
      await owners.finish(move);
    }
    return lastLeaseId;
  }

  // Updates an event, then reads the owners again, because a channel may move once more meanwhile. So the last
  // update of an event is always correct.
  async function settle(eventId: string, channelIds: readonly string[], actor = UNKNOWN_ACTOR): Promise<void> {
    let open = channelIds;
    for (let tries = 0; tries < MAX_ATTEMPTS; tries++) {
      const before = await owners.read(open);
      const own = open.filter((_, index) => before[index] === eventId);
      if (own.length > 0) {
        const lastLeaseId = await finishMoves(own, eventId, actor);
        await owners.set(eventId, own);
        await adoptChannels(scripts, eventId, own, lastLeaseId);
      }
      for (const [index, channelId] of open.entries()) {
        const owner = before[index];
        // A channel in an event's index loses its owner only if Redis loses data.
        if (!owner) await owners.claim(eventId, [channelId], "each");
        else if (owner !== eventId) await leave(channelId, eventId, owner, actor);
      }
      const after = await owners.read(open);
      open = open.filter((_, index) => before[index] !== after[index]);
      if (open.length === 0) return;
    }
    throw contended(`event "${eventId}"`);
  }

  return {
    async move(channelId, from, to, actor) {
      if (from !== to) {
        if (from !== null) await finishMoves([channelId], from, UNKNOWN_ACTOR);
        if (!(await owners.move(channelId, from, to))) return false;
      }
      await settle(to, [channelId], actor);
      return true;
    },

    adopt: settle,
    release: settle,
    settle: (eventId, channelId) => settle(eventId, [channelId]),

    async learn(eventId, channelIds, claim) {
      const found = await owners.claim(eventId, channelIds, claim);
      const own = channelIds.filter((_, index) => found[index] === eventId);
      if (own.length > 0) await finishMoves(own, eventId, UNKNOWN_ACTOR);
      const known = channelIds.flatMap((channelId, index) =>
        found[index] ? [[channelId, found[index]] as const] : [],
      );
      if (known.length > 0) await owners.note(eventId, known);
    },
  };
}
