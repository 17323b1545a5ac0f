import { SquelchError } from "../../domain/errors.js";
import { foreignChannelInSync, SYNC_ACTION } from "../../domain/memberSync.js";
import type {
  MemberSyncOutcome,
  MembershipOutcome,
  MembershipStore,
  SetUserChannelsOutcome,
  UserPermissions,
} from "../../domain/ports.js";
import type { ConfirmedWrites } from "./confirmedWrites.js";
import type { EventScripts } from "./eventScripts.js";
import { CHANNEL_EVENTS, speakerKey } from "./keys.js";
import { parseMember } from "./logStore.js";

/** {@link MembershipStore} on Redis. `confirmed` is for what is waited for. */
export function createMembershipStore(scripts: EventScripts, confirmed: ConfirmedWrites): MembershipStore {
  return {
    async applyMemberships(eventId, updates): Promise<MembershipOutcome[]> {
      if (updates.length === 0) return [];
      await scripts.register(eventId);
      const channelIds = [...new Set(updates.flatMap((update) => update.channelIds))];
      const outcomes = (await scripts.runFor(
        eventId,
        "apply-memberships",
        [CHANNEL_EVENTS, ...channelIds.map(speakerKey)],
        [
          JSON.stringify(channelIds),
          ...updates.map(({ position, ...update }) =>
            JSON.stringify({ ...update, position: `${position.generation}-${position.count}` }),
          ),
        ],
      )) as string[];
      return outcomes.map((outcome) => JSON.parse(outcome) as MembershipOutcome);
    },

    async setUserChannels({ eventId, onlyIfUnknown, ...update }): Promise<SetUserChannelsOutcome> {
      await scripts.register(eventId);
      const [status, ...result] = (await confirmed.scripts.runFor(
        eventId,
        "set-user-channels",
        [CHANNEL_EVENTS, ...update.channelIds.map(speakerKey)],
        [JSON.stringify(update), onlyIfUnknown ? 1 : 0],
      )) as ["foreign", string, string] | ["done", string, number];
      if (status === "foreign") {
        const [channelId, owner] = result;
        throw new SquelchError(
          "failedPrecondition",
          `channel_ids: channel "${channelId}" belongs to event "${owner}"; move it with SetChannelEvent first`,
        );
      }
      const [json, replicas] = result as [string, number];
      const outcome = JSON.parse(json) as SetUserChannelsOutcome;
      if (outcome.removed.length > 0) await confirmed.awaitReplication(replicas);
      return outcome;
    },

    async syncMembers({ eventId, users, actor }): Promise<MemberSyncOutcome> {
      await scripts.register(eventId);
      const channelIds = [...new Set(users.flatMap((user) => user.channelIds))];
      const result = (await confirmed.scripts.runFor(
        eventId,
        "sync-members",
        [CHANNEL_EVENTS, ...channelIds.map(speakerKey)],
        [
          JSON.stringify(channelIds),
          actor,
          SYNC_ACTION,
          ...users.flatMap((user) => [user.userId, JSON.stringify(user.channelIds)]),
        ],
      )) as ["foreign", string, string] | ["done", number, number, number, number, number];
      if (result[0] === "foreign") throw foreignChannelInSync(users, result[1], result[2]);
      const [, revision, changedUsers, revokedUsers, losers, replicas] = result;
      if (losers > 0) await confirmed.awaitReplication(replicas);
      return { revision, changedUsers, revokedUsers };
    },

    async readUserPermissions(eventId, userId): Promise<UserPermissions> {
      const [epoch, revision, pause, member] = (await scripts.runFor(
        eventId,
        "read-user-permissions",
        [],
        [userId],
      )) as [string | null, string | null, string | null, string | null];
      return {
        position: epoch === null ? undefined : { epoch, revision: Number(revision) },
        channelIds: member === null ? [] : parseMember(userId, member, epoch ?? "").channelIds,
        known: member !== null,
        pause: pause === null ? undefined : JSON.parse(pause),
      };
    },
  };
}
