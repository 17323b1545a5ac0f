import type { Redis } from "ioredis";
import { CHANNEL_EVENTS, speakerKey as keyOf, layouts, stateChannel } from "../../src/engine/redis/keys.js";

/** The key that routers have always used for the speaker of a channel. */
export const speakerKey = (channelId: string): string => keyOf(layouts.legacy, "", channelId);

// Sends the commands that a public PTT router sends, one after another.

/** Selects the channels of an event from the hash of all channels. */
async function listChannels(redis: Redis, eventId: string): Promise<string[]> {
  const owners = await redis.hgetall(CHANNEL_EVENTS);
  return Object.keys(owners).filter((channelId) => owners[channelId] === eventId);
}

async function publishState(redis: Redis, channelId: string, holder: Holder | undefined): Promise<void> {
  const state = {
    channelId,
    currentSpeaker: holder?.userId ?? null,
    speakerName: holder?.userName ?? null,
    isBusy: holder !== undefined,
    lockTimestamp: holder?.timestamp ?? null,
  };
  await redis.publish(stateChannel(channelId), JSON.stringify(state));
}

interface Holder {
  userId: string;
  userName: string;
  timestamp: number;
}

/** Takes the floor of each busy channel of an event away and announces it. Returns the number of those channels. */
export async function pauseChannelByChannel(redis: Redis, eventId: string): Promise<number> {
  const speakers = await readSpeakersChannelByChannel(redis, eventId);
  for (const [channelId, userId] of speakers) {
    const lock = await redis.get(speakerKey(channelId));
    if (lock !== null && (JSON.parse(lock) as Holder).userId === userId) await redis.del(speakerKey(channelId));
    await publishState(redis, channelId, undefined);
  }
  return speakers.size;
}

/** Takes the floor of each channel of an event for one user and announces it. Returns the number of those channels. */
export async function broadcastChannelByChannel(redis: Redis, eventId: string, userId: string): Promise<number> {
  let taken = 0;
  for (const channelId of await listChannels(redis, eventId)) {
    const holder = { userId, userName: userId, timestamp: Date.now() };
    if ((await redis.set(speakerKey(channelId), JSON.stringify(holder), "EX", 30, "NX")) === null) continue;
    await publishState(redis, channelId, holder);
    taken++;
  }
  return taken;
}

/** Reads the speaker of each channel of an event. Returns a map from channel id to user id. */
export async function readSpeakersChannelByChannel(redis: Redis, eventId: string): Promise<Map<string, string>> {
  const speakers = new Map<string, string>();
  for (const channelId of await listChannels(redis, eventId)) {
    const lock = await redis.get(speakerKey(channelId));
    if (lock !== null) speakers.set(channelId, (JSON.parse(lock) as Holder).userId);
  }
  return speakers;
}
