import type { Position } from "../../../domain/cursor.js";
import type { MembershipLimit } from "../../../domain/errors.js";
import { checkSyncedChannels, limitExceeded, MOST_CHANNELS_PER_USER } from "../../../domain/eventLimits.js";
import { foreignChannelInSync, SYNC_ACTION } from "../../../domain/memberSync.js";
import { channelOfAnotherEvent, revisionChanged } from "../../../domain/membership.js";
import type {
  MemberSyncOutcome,
  MembershipOutcome,
  MembershipStore,
  SetUserChannelsOutcome,
  StoredPermissions,
} from "../../../domain/ports/membershipStore.js";
import type { ConfirmedWrites } from "../scripts/confirmedWrites.js";
import { contended, MAX_ATTEMPTS } from "../scripts/contention.js";
import type { EventScripts } from "../scripts/eventScripts.js";
import { parseJson } from "../scripts/scripts.js";
import { parseMember } from "./logStore.js";

/** The answer of a script if the given ticket is not higher than the position that it would overwrite. */
type Behind = ["behind", atLeast: number];
type Foreign = ["foreign", channelId: string, owner: string];
type Changed = ["changed", revision: number];
type OverLimit = ["limit", limit: MembershipLimit];

/** Takes a ticket of at least that number. */
type TakeTicket = (atLeast: number) => Promise<number>;

// Another write may overtake a ticket that was taken elsewhere. The script then runs once more with a higher ticket.
async function writeAtTicket<Result extends readonly unknown[]>(
  eventId: string,
  takeTicket: TakeTicket | undefined,
  write: (ticket: number | undefined) => Promise<Result | Behind>,
): Promise<Result> {
  let atLeast = 0;
  for (let tries = 0; tries < MAX_ATTEMPTS; tries++) {
    const ticket = takeTicket === undefined ? undefined : await takeTicket(atLeast);
    const result = await write(ticket);
    if (!isBehind(result)) return result;
    atLeast = result[1];
  }
  throw contended(`event "${eventId}"`);
}

function formatPosition({ generation, count }: Position): string {
  return `${generation}-${count}`;
}

function isBehind(result: readonly unknown[]): result is Behind {
  return result[0] === "behind";
}

/**
 * {@link MembershipStore} on Redis.
 *
 * @param confirmed runs the writes that wait for a Redis replica
 * @param takeTicket takes a ticket if the counter is not in the Redis of the state; by default the scripts take their
 * own
 */
export function createMembershipStore(
  scripts: EventScripts,
  confirmed: ConfirmedWrites,
  takeTicket?: TakeTicket,
): MembershipStore {
  return {
    async applyMemberships(eventId, updates): Promise<MembershipOutcome[]> {
      if (updates.length === 0) return [];
      await scripts.register(eventId);
      const channelIds = [...new Set(updates.flatMap((update) => update.channelIds))];
      const args = [
        JSON.stringify(channelIds),
        ...updates.map(({ userId, channelIds, action, actor, position, isReconciled, staleKey }) =>
          JSON.stringify({
            ...{ userId, channelIds, action, actor, isReconciled, staleKey },
            position: formatPosition(position),
          }),
        ),
      ];
      return JSON.parse((await scripts.runForChannels(eventId, "apply-memberships", { channelIds, args })) as string);
    },

    async setUserChannels({ eventId, onlyIfUnknown, ifRevision, ...update }): Promise<SetUserChannelsOutcome> {
      // A user with this many channels gains some of them in any case, so the script need not compare.
      if (update.channelIds.length > MOST_CHANNELS_PER_USER) throw limitExceeded("channels_per_user", scripts.limits);
      await scripts.register(eventId);
      const args = [JSON.stringify(update), onlyIfUnknown ? 1 : 0, ifRevision ?? ""];
      const script = { channelIds: update.channelIds, args, claim: "all" } as const;
      const writes = confirmed.standing(eventId);
      const [status, ...result] = await writeAtTicket(
        eventId,
        onlyIfUnknown ? undefined : takeTicket,
        (ticket) =>
          writes.scripts.runForChannels(eventId, "set-user-channels", { ...script, ticket }) as Promise<
            Foreign | Changed | OverLimit | Behind | ["done", string, number]
          >,
      );
      if (status === "limit") throw limitExceeded(result[0] as MembershipLimit, scripts.limits);
      if (status === "foreign") {
        throw channelOfAnotherEvent("channel_ids", result[0] as string);
      }
      if (status === "changed") throw revisionChanged(update.userId, result[0] as number);
      const [json, replicas] = result as [string, number];
      const outcome = JSON.parse(json) as Omit<SetUserChannelsOutcome, "replicated">;
      // A user who is only given channels keeps no right that was revoked, so such a write does not wait.
      const replicated = outcome.removed.length > 0 && (await writes.awaitReplication(eventId, replicas));
      return { ...outcome, replicated };
    },

    async syncMembers({ eventId, users, actor }): Promise<MemberSyncOutcome> {
      checkSyncedChannels(users, scripts.limits);
      await scripts.register(eventId);
      const channelIds = [...new Set(users.flatMap((user) => user.channelIds))];
      const members = users.flatMap((user) => [user.userId, JSON.stringify(user.channelIds)]);
      const args = [JSON.stringify(channelIds), actor, SYNC_ACTION, ...members];
      const script = { channelIds, args, claim: "all" } as const;
      const writes = confirmed.standing(eventId);
      const result = await writeAtTicket(
        eventId,
        takeTicket,
        (ticket) =>
          writes.scripts.runForChannels(eventId, "sync-members", { ...script, ticket }) as Promise<
            Foreign | OverLimit | Behind | ["done", string, number, number, number, number, number]
          >,
      );
      if (result[0] === "limit") throw limitExceeded(result[1], scripts.limits, "users");
      if (result[0] === "foreign") throw foreignChannelInSync(users, result[1]);
      const [, epoch, revision, changedUsers, revokedUsers, losers, replicas] = result;
      const replicated = losers > 0 && (await writes.awaitReplication(eventId, replicas));
      return { revision, epoch, replicated, changedUsers, revokedUsers };
    },

    readUserPermissions(eventId, userId): Promise<StoredPermissions> {
      return scripts.mending(eventId, async () => {
        const answer = await scripts.runFor(eventId, "read-user-permissions", [], [userId]);
        const [epoch, revision, pause, member, ban] = answer as (string | null)[] & { length: 5 };
        const membership = member == null ? undefined : parseMember(userId, member, epoch ?? "");
        return {
          position: epoch == null ? undefined : { epoch, revision: Number(revision) },
          channelIds: membership?.channelIds ?? [],
          userRevision: membership?.revision ?? 0,
          known: member != null,
          pause: parseJson(pause ?? null),
          ban: parseJson(ban ?? null),
        };
      });
    },
  };
}
