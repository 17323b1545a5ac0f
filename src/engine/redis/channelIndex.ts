import type { Redis } from "ioredis";
import { SquelchError } from "../../domain/errors.js";
import { idProblem } from "../../domain/id.js";
import type { ChannelIndex } from "../../domain/ports.js";
import { attempt } from "./connections.js";
import type { EventScripts } from "./eventScripts.js";
import { CHANNEL_EVENTS, EVENTS, eventKeys, speakerKey } from "./keys.js";

/** How often a step is tried that others have got in the way of. */
export const MAX_ATTEMPTS = 20;

/** What is said when all attempts were in vain. */
export function contended(what: string): SquelchError {
  return new SquelchError("unavailable", `${what} is being changed by too many at once; try again`);
}

/** How many channels one script call takes at most. */
const ADOPT_BATCH = 500;

/** {@link ChannelIndex} on Redis, and what keeps it true beside routers that write `channel:events` themselves. */
export interface RedisChannelIndex extends ChannelIndex {
  /** Compares the index of one event, or of all, with `channel:events`, and takes over what others wrote there. */
  adoptForeignChannels(eventId?: string): Promise<void>;
}

export function createChannelIndex(commands: Redis, scripts: EventScripts): RedisChannelIndex {
  const indexOf = (eventId: string) => attempt(commands.smembers(eventKeys(eventId).channels));

  async function adopt(eventId: string, channelIds: readonly string[], lastLeaseId = 0): Promise<void> {
    for (let first = 0; first < channelIds.length; first += ADOPT_BATCH) {
      const batch = channelIds.slice(first, first + ADOPT_BATCH);
      const keys = [CHANNEL_EVENTS, ...batch.map(speakerKey)];
      await scripts.runFor(eventId, "adopt-channels", keys, [JSON.stringify(batch), lastLeaseId]);
    }
  }

  async function compareIndex(eventId: string, channelIds: ReadonlySet<string>): Promise<void> {
    const indexed = new Set(await indexOf(eventId));
    const missing = [...channelIds].filter((id) => !indexed.has(id));
    const gone = [...indexed].filter((id) => !channelIds.has(id));
    if (missing.length > 0) {
      await scripts.register(eventId);
      await adopt(eventId, missing);
    }
    // The index may have grown since the hash was read: only what the hash gives to another event is removed.
    const owners = gone.length > 0 ? await attempt(commands.hmget(CHANNEL_EVENTS, ...gone)) : [];
    const stale = gone.filter((_, index) => owners[index] !== eventId);
    if (stale.length > 0) await attempt(commands.srem(eventKeys(eventId).channels, ...stale));
  }

  return {
    async setChannelEvent(channelId, eventId, actor, onlyIfUnassigned) {
      await scripts.register(eventId);
      for (let tries = 0; tries < MAX_ATTEMPTS; tries++) {
        let lastLeaseId = 0;
        const owner = await attempt(commands.hget(CHANNEL_EVENTS, channelId));
        if (owner === null) {
          if ((await attempt(commands.hsetnx(CHANNEL_EVENTS, channelId, eventId))) === 0) continue;
        } else if (owner !== eventId) {
          if (onlyIfUnassigned) {
            throw new SquelchError("failedPrecondition", `channel_id: "${channelId}" belongs to event "${owner}"`);
          }
          const keys = [CHANNEL_EVENTS, speakerKey(channelId)];
          lastLeaseId = (await scripts.runFor(owner, "leave-event", keys, [channelId, eventId, actor])) as number;
          if (lastLeaseId < 0) continue;
        }
        await adopt(eventId, [channelId], lastLeaseId);
        return owner ?? undefined;
      }
      throw contended(`channel "${channelId}"`);
    },

    async getChannelEvent(channelId) {
      return (await attempt(commands.hget(CHANNEL_EVENTS, channelId))) ?? undefined;
    },

    async listEventChannels(eventId) {
      return (await indexOf(eventId)).sort();
    },

    async adoptForeignChannels(eventId) {
      const owners = await attempt(commands.hgetall(CHANNEL_EVENTS));
      const events = eventId === undefined ? await attempt(commands.smembers(EVENTS)) : [eventId];
      const byEvent = new Map(events.map((event) => [event, new Set<string>()]));
      for (const [channelId, owner] of Object.entries(owners)) {
        if (eventId !== undefined && owner !== eventId) continue;
        // Others may have written what is no id; nothing of ours can name it.
        if (idProblem(channelId) !== undefined || idProblem(owner) !== undefined) continue;
        const channelIds = byEvent.get(owner) ?? new Set();
        byEvent.set(owner, channelIds.add(channelId));
      }
      for (const [event, channelIds] of byEvent) await compareIndex(event, channelIds);
    },
  };
}
