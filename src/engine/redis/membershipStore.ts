import { SquelchError } from "../../domain/errors.js";
import type {
  MembershipOutcome,
  MembershipStore,
  SetUserChannelsOutcome,
  UserPermissions,
} from "../../domain/ports.js";
import type { EventScripts } from "./eventScripts.js";
import { CHANNEL_EVENTS, INGEST, INGEST_GENERATION, speakerKey } from "./keys.js";
import { parseMember } from "./logStore.js";

/** {@link MembershipStore} on Redis. `confirmed` runs on the connection that `awaitReplication` waits for. */
export function createMembershipStore(
  scripts: EventScripts,
  confirmed: EventScripts,
  awaitReplication: (replicas: number) => Promise<boolean>,
): MembershipStore {
  return {
    async applyMemberships(eventId, updates): Promise<MembershipOutcome[]> {
      if (updates.length === 0) return [];
      await scripts.register(eventId);
      const channelIds = [...new Set(updates.flatMap((update) => update.channelIds))];
      const [isNew, ...outcomes] = (await scripts.runFor(
        eventId,
        "apply-memberships",
        [CHANNEL_EVENTS, ...channelIds.map(speakerKey)],
        [
          JSON.stringify(channelIds),
          ...updates.map(({ position, ...update }) =>
            JSON.stringify({ ...update, position: `${position.generation}-${position.count}` }),
          ),
        ],
      )) as [number, ...string[]];
      await scripts.registerAgainIf(isNew === 1, eventId);
      return outcomes.map((outcome) => JSON.parse(outcome) as MembershipOutcome);
    },

    async setUserChannels({ eventId, onlyIfUnknown, ...update }): Promise<SetUserChannelsOutcome> {
      await scripts.register(eventId);
      const [isNew, status, ...result] = (await confirmed.runFor(
        eventId,
        "set-user-channels",
        [CHANNEL_EVENTS, INGEST_GENERATION, ...update.channelIds.map(speakerKey)],
        [JSON.stringify(update), INGEST, onlyIfUnknown ? 1 : 0],
      )) as [number, "foreign", string, string] | [number, "done", string, number];
      await scripts.registerAgainIf(isNew === 1, eventId);
      if (status === "foreign") {
        const [channelId, owner] = result;
        throw new SquelchError(
          "failedPrecondition",
          `channel_ids: channel "${channelId}" belongs to event "${owner}"; move it with SetChannelEvent first`,
        );
      }
      const [json, replicas] = result as [string, number];
      const outcome = JSON.parse(json) as SetUserChannelsOutcome;
      if (outcome.removed.length > 0) await awaitReplication(replicas);
      return outcome;
    },

    async readUserPermissions(eventId, userId): Promise<UserPermissions> {
      await scripts.register(eventId);
      const [, epoch, revision, pause, member] = (await scripts.runFor(
        eventId,
        "read-user-permissions",
        [],
        [userId],
      )) as [number, string, number, string | null, string | null];
      return {
        epoch,
        revision,
        channelIds: member === null ? [] : parseMember(userId, member, epoch).channelIds,
        known: member !== null,
        pause: pause === null ? undefined : JSON.parse(pause),
      };
    },
  };
}
