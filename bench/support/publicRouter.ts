import type { Redis } from "ioredis";
import { speakerKey as keyOf, layouts, stateChannel } from "../../src/engine/redis/keys.js";

/** The key that routers have always used for the speaker of a channel. */
export const speakerKey = (channelId: string): string => keyOf(layouts.legacy, "", channelId);

// What a public PTT router does, one command after another. It is spared the way to the list of channels.

/** Takes the floor of each busy channel away and announces it. Returns how many there were. */
export async function pauseChannelByChannel(redis: Redis, channelIds: readonly string[]): Promise<number> {
  let cut = 0;
  for (const channelId of channelIds) {
    if ((await redis.get(speakerKey(channelId))) === null) continue;
    await redis.del(speakerKey(channelId));
    const state = { channelId, currentSpeaker: null, speakerName: null, isBusy: false, lockTimestamp: null };
    await redis.publish(stateChannel(channelId), JSON.stringify(state));
    cut++;
  }
  return cut;
}

/** Reads the speaker of each channel. Returns how many there are. */
export async function readSpeakersChannelByChannel(redis: Redis, channelIds: readonly string[]): Promise<number> {
  const speakers = new Map<string, string>();
  for (const channelId of channelIds) {
    const lock = await redis.get(speakerKey(channelId));
    if (lock !== null) speakers.set(channelId, (JSON.parse(lock) as { userId: string }).userId);
  }
  return speakers.size;
}
