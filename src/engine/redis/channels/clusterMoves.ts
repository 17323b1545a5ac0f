import { contended, MAX_ATTEMPTS } from "../scripts/contention.js";
import type { EventScripts } from "../scripts/eventScripts.js";
import { adoptChannels, type ChannelMoves, UNKNOWN_ACTOR } from "./channelIndex.js";
import type { ChannelOwners } from "./channelOwners.js";

/** {@link ChannelMoves} in the layout of a Cluster. */
export interface ClusterMoves extends ChannelMoves {
  /**
   * Notes whose channels are, of which the scripts of an event have not heard. Those that belong to nobody are claimed
   * for it; with `all`, only if none of them belongs to another.
   */
  learn(eventId: string, channelIds: readonly string[], claim: "each" | "all"): Promise<void>;
}

/**
 * {@link ChannelMoves} where `channel:events` is in another slot than the events. It alone decides; then both events are
 * brought in line with it. No event takes a channel before the one that it comes from has let go of it, whoever has to
 * see to that: so there are never two who may speak.
 */
export function createClusterMoves(scripts: EventScripts, owners: ChannelOwners): ClusterMoves {
  // Cuts whoever speaks on the channel. Returns the last lease id of the event, 0 if it had let go of it before.
  async function leave(channelId: string, from: string, to: string, actor: string): Promise<number> {
    await owners.note(from, [[channelId, from]]);
    const keys = scripts.channelKeys(from, [channelId]);
    return Math.max((await scripts.runFor(from, "leave-event", keys, [channelId, to, actor])) as number, 0);
  }

  // Has the events let go that channels have been moved from. Returns their last lease id.
  async function finishMoves(channelIds: readonly string[], to: string, actor: string): Promise<number> {
    let lastLeaseId = 0;
    for (const move of await owners.readUnfinished(channelIds)) {
      if (move.from !== to) lastLeaseId = Math.max(lastLeaseId, await leave(move.channelId, move.from, to, actor));
      await owners.finish(move);
    }
    return lastLeaseId;
  }

  // Brings an event in line. Looks again afterwards, since a channel may move on meanwhile: whoever is last to touch an
  // event makes it right.
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
        // Only a loss of data leaves a channel of an event to nobody.
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
