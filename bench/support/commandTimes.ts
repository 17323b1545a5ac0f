import type { Redis } from "ioredis";

/**
 * For how long Redis served nobody else while `work` ran: the time of the longest command, in µs by Redis's own count;
 * of commands of one name their mean. Undefined if more than one script ran, of which only one can be `work`'s.
 *
 * The slow log would name each command, but logs those within a script as well, which makes the script slower.
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
