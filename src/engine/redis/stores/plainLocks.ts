import type { ActiveSpeaker } from "../../../domain/floor.js";
import { attempt } from "../connection/connections.js";
import type { CommandConnection } from "../connection/openConnection.js";
import { layouts, speakerKey, stateChannel } from "../keys.js";
import type { RunScript } from "../scripts/scripts.js";
import { parseSpeaker } from "./speakerValue.js";

/** How long a lock lasts, ms: as long as the lock of a router that writes Redis itself. */
const LOCK_MS = 30_000;

/**
 * The floors of channels that no event owns. A floor is a lock as routers take it by writing Redis themselves: without a
 * lease, and without a check of membership, ban or pause.
 */
export interface PlainLocks {
  /** Returns the user who has the lock; undefined if the channel is free. */
  read(channelId: string): Promise<ActiveSpeaker | undefined>;
  /** Takes the lock if it is free, and publishes the state. Returns whether the user has the lock, and who has it. */
  take(
    channelId: string,
    userId: string,
    userName: string,
  ): Promise<{ granted: boolean; holder: ActiveSpeaker | undefined }>;
  /** Releases the lock and publishes the state. Does nothing if another user has the lock. */
  release(channelId: string, userId: string): Promise<void>;
}

/** {@link PlainLocks} under the names of the legacy layout. */
export function createPlainLocks(commands: CommandConnection, run: RunScript): PlainLocks {
  const keyOf = (channelId: string) => speakerKey(layouts.legacy, "", channelId);
  return {
    async read(channelId) {
      const value = await attempt(commands.get(keyOf(channelId)));
      return value === null ? undefined : parseSpeaker(channelId, value);
    },

    async take(channelId, userId, userName) {
      const timestamp = Date.now();
      const lock = JSON.stringify({ userId, userName, timestamp });
      const state = {
        channelId,
        currentSpeaker: userId,
        speakerName: userName,
        isBusy: true,
        lockTimestamp: timestamp,
      };
      const args = [userId, lock, LOCK_MS, stateChannel(channelId), JSON.stringify(state)];
      const [granted, value] = (await run("take-lock", [keyOf(channelId)], args)) as [number, string];
      return { granted: granted === 1, holder: parseSpeaker(channelId, value) };
    },

    async release(channelId, userId) {
      const state = { channelId, currentSpeaker: null, speakerName: null, isBusy: false, lockTimestamp: null };
      await run("release-lock", [keyOf(channelId)], [userId, stateChannel(channelId), JSON.stringify(state)]);
    },
  };
}
