import { idProblem } from "../../../domain/id.js";
import { alreadyAssigned } from "../../../domain/membership.js";
import type { ChannelIndex } from "../../../domain/ports/channelIndex.js";
import { batchesOf } from "../../../lib/batchesOf.js";
import { attempt } from "../connection/connections.js";
import type { CommandConnection } from "../connection/openConnection.js";
import { CHANNEL_EVENTS, EVENTS, eventKeys } from "../keys.js";
import { contended, MAX_ATTEMPTS } from "../scripts/contention.js";
import type { EventScripts } from "../scripts/eventScripts.js";

/** Whose deed a move is that others have made, or that a crash has cut short. */
export const UNKNOWN_ACTOR = "channel:events";

/** How many channels one script call takes at most. */
const ADOPT_BATCH = 500;

/** {@link ChannelIndex} on Redis, and what keeps it true beside routers that write `channel:events` themselves. */
export interface RedisChannelIndex extends ChannelIndex {
  /** Compares the index of one event, or of all, with `channel:events`, and takes over what others wrote there. */
  adoptForeignChannels(eventId?: string): Promise<void>;
  /** The same for one event, if `channel:events` has another number of channels than at the last time. */
  adoptNewForeignChannels(eventId: string): Promise<void>;
  /** Sees to it that the scripts of an event know whether a channel is its own, where they have said that it is not. */
  settle(eventId: string, channelId: string): Promise<void>;
}

/** How channels get into events and out again, which is up to the layout. */
export interface ChannelMoves {
  /**
   * Moves a channel from the event that it belongs to, if to any, in the name of `actor`. False if it does not belong
   * there any more.
   */
  move(channelId: string, from: string | null, to: string, actor: string): Promise<boolean>;
  /** Puts channels which `channel:events` gives to an event, though its index has not got them, into the index. */
  adopt(eventId: string, channelIds: readonly string[]): Promise<void>;
  /** Takes channels out of an event's index, as far as `channel:events` does not give them to it. */
  release(eventId: string, channelIds: readonly string[]): Promise<void>;
  /** As {@link RedisChannelIndex.settle}. */
  settle(eventId: string, channelId: string): Promise<void>;
}

export function createChannelIndex(
  commands: CommandConnection,
  scripts: EventScripts,
  moves: ChannelMoves,
): RedisChannelIndex {
  /** How many channels `channel:events` had when the index of an event was last compared with it. */
  const comparedSizes = new Map<string, number>();

  const indexOf = (eventId: string) => attempt(commands.smembers(eventKeys(eventId).channels));

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

  // Of one event, in one round trip, since a pause waits for it.
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
      // Others may have written what is no id; nothing of ours can name it.
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
 * Runs adopt-channels, in steps that do not hold Redis up for long.
 *
 * @param lastLeaseId the last lease id that one of the channels can have had in another event
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
