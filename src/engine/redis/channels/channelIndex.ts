import { idProblem } from "../../../domain/id.js";
import { alreadyAssigned } from "../../../domain/membership.js";
import type { ChannelIndex } from "../../../domain/ports/channelIndex.js";
import { batchesOf } from "../../../lib/batchesOf.js";
import { attempt } from "../connection/connections.js";
import type { CommandConnection } from "../connection/openConnection.js";
import { CHANNEL_EVENTS, EVENTS, eventKeys } from "../keys.js";
import { contended, MAX_ATTEMPTS } from "../scripts/contention.js";
import type { EventScripts } from "../scripts/eventScripts.js";

/** Actor recorded for a move that was made outside Squelch or was interrupted by a crash. */
export const UNKNOWN_ACTOR = "channel:events";

/** The most channels that one script call takes. */
const ADOPT_BATCH = 500;

/** {@link ChannelIndex} on Redis. It also keeps the index correct while routers write `channel:events` themselves. */
export interface RedisChannelIndex extends ChannelIndex {
  /**
   * Compares the index of one event, or of all events, with `channel:events`, and adopts the channels that other
   * programs wrote there.
   */
  adoptForeignChannels(eventId?: string): Promise<void>;
  /**
   * Adopts the channels of one event that other programs wrote, if the number of channels in `channel:events` has
   * changed since the last comparison.
   */
  adoptNewForeignChannels(eventId: string): Promise<void>;
  /**
   * Lets the scripts of an event know that the event owns a channel, after a script answered that it does not know the
   * owner.
   */
  settle(eventId: string, channelId: string): Promise<void>;
}

/** Adds channels to events and removes them. The key layout decides how this is done. */
export interface ChannelMoves {
  /**
   * Moves a channel to another event and records `actor`. The channel must still belong to the event that the caller
   * read, or to no event. Otherwise returns false.
   */
  move(channelId: string, from: string | null, to: string, actor: string): Promise<boolean>;
  /** Adds channels to the index of the event that owns them in `channel:events`. */
  adopt(eventId: string, channelIds: readonly string[]): Promise<void>;
  /** Removes channels from an event's index, except those that `channel:events` assigns to the event. */
  release(eventId: string, channelIds: readonly string[]): Promise<void>;
  /** Lets the scripts of an event know whether the event owns a channel, see {@link RedisChannelIndex.settle}. */
  settle(eventId: string, channelId: string): Promise<void>;
}

export function createChannelIndex(
  commands: CommandConnection,
  scripts: EventScripts,
  moves: ChannelMoves,
): RedisChannelIndex {
  /** The number of channels in `channel:events` when an event's index was last compared with it. */
  const comparedSizes = new Map<string, number>();

  const indexOf = (eventId: string) =>
    scripts.mending(eventId, () => attempt(commands.smembers(eventKeys(eventId).channels)));

  async function compareIndex(eventId: string, channelIds: readonly string[], index: readonly string[]): Promise<void> {
    const [owned, indexed] = [new Set(channelIds), new Set(index)];
    const missing = channelIds.filter((id) => !indexed.has(id));
    const gone = index.filter((id) => !owned.has(id));
    if (missing.length > 0) {
      await scripts.register(eventId);
      await moves.adopt(eventId, missing);
    }
    if (gone.length > 0) await moves.release(eventId, gone);
  }

  // A pause waits for this, so it reads one event in one round trip.
  async function adoptChannelsOf(eventId: string): Promise<void> {
    const [owners, index] = await Promise.all([attempt(commands.hgetall(CHANNEL_EVENTS)), indexOf(eventId)]);
    const owned = Object.keys(owners).filter((id) => owners[id] === eventId && idProblem(id) === undefined);
    await compareIndex(eventId, owned, index);
  }

  async function adoptForeignChannels(eventId?: string): Promise<void> {
    if (eventId !== undefined) return adoptChannelsOf(eventId);
    const owners = await attempt(commands.hgetall(CHANNEL_EVENTS));
    const byEvent = new Map((await attempt(commands.smembers(EVENTS))).map((event) => [event, [] as string[]]));
    for (const [channelId, owner] of Object.entries(owners)) {
      // Other programs may have written an invalid id. Squelch cannot use such an id.
      if (idProblem(channelId) !== undefined || idProblem(owner) !== undefined) continue;
      const channelIds = byEvent.get(owner);
      if (channelIds === undefined) byEvent.set(owner, [channelId]);
      else channelIds.push(channelId);
    }
    for (const [event, channelIds] of byEvent) await compareIndex(event, channelIds, await indexOf(event));
  }

  return {
    async setChannelEvent(channelId, eventId, actor, onlyIfUnassigned) {
      await scripts.register(eventId);
      for (let tries = 0; tries < MAX_ATTEMPTS; tries++) {
        const owner = await attempt(commands.hget(CHANNEL_EVENTS, channelId));
        if (onlyIfUnassigned && owner !== null && owner !== eventId) {
          throw alreadyAssigned(channelId);
        }
        if (await moves.move(channelId, owner, eventId, actor)) return owner ?? undefined;
      }
      throw contended(`channel "${channelId}"`);
    },

    async getChannelEvent(channelId) {
      return (await attempt(commands.hget(CHANNEL_EVENTS, channelId))) ?? undefined;
    },

    async listEventChannels(eventId) {
      return (await indexOf(eventId)).sort();
    },

    adoptForeignChannels,

    async adoptNewForeignChannels(eventId) {
      const size = await attempt(commands.hlen(CHANNEL_EVENTS));
      if (size === comparedSizes.get(eventId)) return;
      await adoptForeignChannels(eventId);
      comparedSizes.set(eventId, size);
    },

    settle: (eventId, channelId) => moves.settle(eventId, channelId),
  };
}

/**
 * Runs the script adopt-channels in steps, so that no step blocks Redis for long.
 *
 * @param lastLeaseId the highest lease id that one of the channels can have had in another event
 */
export async function adoptChannels(
  scripts: EventScripts,
  eventId: string,
  channelIds: readonly string[],
  lastLeaseId: number,
): Promise<void> {
  for (const batch of batchesOf(channelIds, ADOPT_BATCH)) {
    const args = [JSON.stringify(batch), lastLeaseId];
    await scripts.runFor(eventId, "adopt-channels", scripts.channelKeys(eventId, batch), args);
  }
}
