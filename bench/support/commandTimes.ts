import type { Redis } from "ioredis";

/**
 * Returns how long Redis was blocked for other clients while `work` ran: the duration of the longest command, in µs by
 * Redis's own count. For commands of one name it uses their mean. Undefined if more than one script ran, because only
 * one of them can belong to `work`.
 *
 * The slow log would list each command, but it also logs the commands within a script, which slows the script down.
 */
export async function measureLongestCommandUs(redis: Redis, work: () => Promise<void>): Promise<number | undefined> {
  await redis.config("RESETSTAT");
  await work();
  const stats = await redis.info("commandstats");
  let longestUs = 0;
  for (const [, name, calls, usec] of stats.matchAll(/^cmdstat_(\S+):calls=(\d+),usec=(\d+)/gm)) {
    if (name?.startsWith("eval") && calls !== "1") return undefined;
    if (name?.startsWith("config")) continue;
    longestUs = Math.max(longestUs, Number(usec) / Number(calls));
  }
  return longestUs;
}
