import { notBanned, type UserBan } from "../../../domain/ban.js";
import type { BanStore } from "../../../domain/ports/banStore.js";
import type { Subscriber } from "../connection/subscriber.js";
import type { ConfirmedWrites } from "../scripts/confirmedWrites.js";
import type { EventScripts } from "../scripts/eventScripts.js";

/**
 * {@link BanStore} on Redis.
 *
 * @param confirmed runs the writes that wait for a Redis replica
 */
export function createBanStore(scripts: EventScripts, confirmed: ConfirmedWrites, subscriber: Subscriber): BanStore {
  return {
    banScope: scripts.layout.banScope,

    async disconnectUser({ eventId, userId, reason, actor }) {
      await scripts.register(eventId);
      const writes = confirmed.standing(eventId);
      const [epoch, revision, replicas] = (await writes.scripts.runFor(
        eventId,
        "disconnect-user",
        [],
        [userId, reason, actor],
      )) as [string, number, number];
      return { revision, epoch, replicated: await writes.awaitReplication(eventId, replicas) };
    },

    async banUser({ eventId, userId, reason, actor, durationMs }) {
      await scripts.register(eventId);
      const writes = confirmed.standing(eventId);
      const [ban, epoch, revision, replicas] = (await writes.scripts.runFor(
        eventId,
        "ban-user",
        [],
        [userId, reason, actor, durationMs ?? ""],
      )) as [string, string, number, number];
      const replicated = await writes.awaitReplication(eventId, replicas);
      return { ban: JSON.parse(ban) as UserBan, revision, epoch, replicated };
    },

    async unbanUser(eventId, userId, actor) {
      await scripts.register(eventId);
      const writes = confirmed.standing(eventId);
      const [status, epoch, revision, replicas] = (await writes.scripts.runFor(
        eventId,
        "unban-user",
        [],
        [userId, actor],
      )) as [string, string, number, number];
      if (status === "none") throw notBanned(userId);
      return { revision, epoch, replicated: await writes.awaitReplication(eventId, replicas) };
    },

    async listBans(eventId) {
      const bans = (await scripts.runFor(eventId, "read-bans")) as string[];
      return bans.map((json) => JSON.parse(json) as UserBan);
    },

    async settleBans(eventId) {
      const remainingMs = (await scripts.runFor(eventId, "settle-bans")) as number;
      return remainingMs < 0 ? undefined : remainingMs;
    },

    followBans(eventId, listener) {
      return subscriber.subscribe(scripts.layout.bans(eventId).banNews, () => listener());
    },
  };
}
