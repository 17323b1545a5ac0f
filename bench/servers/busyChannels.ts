import type { Redis } from "ioredis";
import type { ChannelIndex } from "../../src/domain/ports/channelIndex.js";
import { batchesOf } from "../../src/lib/batchesOf.js";
import { speakerKey } from "./publicRouter.js";

/** Longer than any scenario runs, so that no floor expires during one. */
const LOCK_TTL_S = 3_600;

/** The number of channels that are associated at a time, because each call may take only 2 s. */
const BATCH = 200;

/** An event in which every channel has a speaker. */
export interface BusyEvent {
  eventId: string;
  channelIds: string[];
}

/** Associates new channels with a new event. */
export async function createEvent(index: ChannelIndex, eventId: string, channels: number): Promise<BusyEvent> {
  const channelIds = Array.from({ length: channels }, (_, number) => `${eventId}-channel-${number}`);
  for (const batch of batchesOf(channelIds, BATCH)) {
    await Promise.all(batch.map((channelId) => index.setChannelEvent(channelId, eventId, "test", false)));
  }
  return { eventId, channelIds };
}

/** Gives the floor of every channel to a different user, with the lock that a public router writes. */
export async function takeFloors(redis: Redis, { channelIds }: BusyEvent): Promise<void> {
  const pipeline = redis.pipeline();
  for (const [index, channelId] of channelIds.entries()) {
    const lock = { userId: `user-${index}`, userName: `User ${index}`, timestamp: Date.now() };
    pipeline.set(speakerKey(channelId), JSON.stringify(lock), "EX", LOCK_TTL_S);
  }
  const replies = await pipeline.exec();
  for (const [error] of replies ?? []) if (error) throw error;
}
