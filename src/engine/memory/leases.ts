import { giveToBroadcaster, isRunning, revoke, vacate } from "./floor.js";
import { serveQueue } from "./floorQueue.js";
import type { EventRecord, Lease, MemoryState } from "./state.js";

/**
 * Returns the channel's lease. If it has expired, announces its end first, gives the floor to the next waiting request, and
 * returns that request's lease.
 */
export function settledLease(state: MemoryState, event: EventRecord, channelId: string): Lease | undefined {
  const lease = event.leases.get(channelId);
  if (lease === undefined || isRunning(state, lease)) return lease;
  revoke(state, event, "", lease, lease.speaker.expiresAtMs >= lease.talkUntilMs ? "talkedTooLong" : "other");
  return handOn(state, event, channelId);
}

/** Releases a floor: to the broadcaster of the standing pause, else to the next waiting request, else it becomes free. */
export function release(state: MemoryState, event: EventRecord, channelId: string): void {
  if (event.pause?.broadcaster !== undefined) giveToBroadcaster(state, event, event.pause, channelId);
  else handOn(state, event, channelId);
}

function handOn(state: MemoryState, event: EventRecord, channelId: string): Lease | undefined {
  const next = serveQueue(state, event, channelId);
  if (next === undefined) vacate(state, event, channelId);
  return next;
}
