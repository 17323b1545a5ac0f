import { comparePositions, type Position } from "../../domain/cursor.js";
import type { MembershipLimit } from "../../domain/errors.js";
import { checkSyncedChannels, limitExceeded } from "../../domain/eventLimits.js";
import { foreignChannelInSync, SYNC_ACTION } from "../../domain/memberSync.js";
import { channelOfAnotherEvent, diffChannels, revisionChanged } from "../../domain/membership.js";
import type { MembershipOutcome, MembershipStore, MembershipUpdate } from "../../domain/ports/membershipStore.js";
import { addChannel, openEvent } from "./floor.js";
import type { EventRecord, Member, MemoryState } from "./state.js";

/** The position before every other one. */
const BEGINNING: Position = { generation: 0, count: 0 };

export function createMembershipStore(state: MemoryState): MembershipStore {
  function isForeign(eventId: string, channelId: string): boolean {
    return (state.eventOfChannel.get(channelId) ?? eventId) !== eventId;
  }

  // Returns the channels of an update that the limits allow, and the limit that was exceeded, if any.
  function withinLimits(
    event: EventRecord,
    member: Member | undefined,
    channelIds: readonly string[],
  ): { allowed: readonly string[]; overLimit?: MembershipLimit } {
    if (channelIds.length > state.limits.maxChannelsPerUser) {
      const had = new Set(member?.channelIds);
      const kept = channelIds.filter((id) => had.has(id));
      if (kept.length < channelIds.length) return { allowed: kept, overLimit: "channels_per_user" };
    }
    if (member === undefined && channelIds.length > 0 && event.members.size >= state.limits.maxUsersPerEvent) {
      return { allowed: [], overLimit: "users_per_event" };
    }
    return { allowed: channelIds };
  }

  function isStale(event: EventRecord, member: Member | undefined, position: Position): boolean {
    const written = [member?.position, event.positionFloor].filter((before) => before !== undefined);
    return written.some((before) => comparePositions(position, before) <= 0);
  }

  function apply(event: EventRecord, update: MembershipUpdate): MembershipOutcome {
    const { userId, action, actor, position } = update;
    const member = event.members.get(userId);
    const nothing = { revision: member?.revision ?? 0, added: [], removed: [] };
    if (isStale(event, member, position)) return { status: "stale", ...nothing, foreignChannelIds: [] };

    const { allowed, ...over } = withinLimits(event, member, update.channelIds);
    if (over.overLimit === "users_per_event") {
      return { status: "unchanged", ...nothing, foreignChannelIds: [], ...over };
    }
    const foreignChannelIds = allowed.filter((id) => isForeign(event.eventId, id));
    const channelIds = allowed.filter((id) => !isForeign(event.eventId, id));
    for (const id of channelIds) {
      if (!event.channelIds.has(id)) addChannel(state, event, id);
    }

    const { added, removed } = diffChannels(member?.channelIds ?? [], channelIds);
    if (added.length + removed.length === 0) {
      event.members.set(userId, { channelIds, revision: nothing.revision, position });
      return { status: "unchanged", ...nothing, foreignChannelIds, ...over };
    }
    const kind = "membershipChanged";
    const revision = state.append(event, actor, { kind, userId, channelIds, added, removed, action });
    event.members.set(userId, { channelIds, revision, position });
    return { status: "changed", revision, added, removed, foreignChannelIds, ...over };
  }

  // Returns a ticket after the positions of these members and after the event's position floor.
  function takeTicket(event: EventRecord, members: Iterable<Member | undefined>): Position {
    let highest = event.positionFloor?.generation ?? 0;
    for (const member of members) highest = Math.max(highest, member?.position.generation ?? 0);
    return state.takeTicket(highest + 1);
  }

  return {
    async applyMemberships(eventId, updates) {
      const event = openEvent(state, eventId);
      return updates.map((update) => apply(event, update));
    },

    async setUserChannels({ eventId, onlyIfUnknown, ifRevision, ...write }) {
      const foreign = write.channelIds.find((id) => isForeign(eventId, id));
      if (foreign !== undefined) {
        throw channelOfAnotherEvent("channel_ids", foreign);
      }
      const event = openEvent(state, eventId);
      const member = event.members.get(write.userId);
      const newest = member?.revision ?? 0;
      if (ifRevision !== undefined && ifRevision !== newest) throw revisionChanged(write.userId, newest);
      const isSuperseded = onlyIfUnknown && isStale(event, member, BEGINNING);
      const { overLimit } = withinLimits(event, member, write.channelIds);
      if (overLimit !== undefined && !isSuperseded) throw limitExceeded(overLimit, state.limits);
      const position = onlyIfUnknown ? BEGINNING : takeTicket(event, [member]);
      const outcome = apply(event, { ...write, position });
      const { status, revision, added, removed } = outcome;
      const { epoch } = event.log;
      return { revision, epoch, replicated: false, added, removed, superseded: status === "stale" };
    },

    async syncMembers({ eventId, users, actor }) {
      checkSyncedChannels(users, state.limits);
      for (const { channelIds } of users) {
        const foreign = channelIds.find((id) => isForeign(eventId, id));
        if (foreign !== undefined) throw foreignChannelInSync(users, foreign);
      }
      const event = openEvent(state, eventId);
      const joining = users.filter(({ userId, channelIds }) => channelIds.length > 0 && !event.members.has(userId));
      if (joining.length > 0 && event.members.size + joining.length > state.limits.maxUsersPerEvent) {
        throw limitExceeded("users_per_event", state.limits, "users");
      }
      const named = new Set(users.map((user) => user.userId));
      const unnamed = [...event.members.keys()].filter((userId) => !named.has(userId));
      const position = takeTicket(event, event.members.values());
      const write = (userId: string, channelIds: string[]) =>
        apply(event, { userId, channelIds: [...channelIds], action: SYNC_ACTION, actor, position }).status ===
        "changed";
      const changed = users.filter(({ userId, channelIds }) => write(userId, channelIds)).length;
      const revokedUsers = unnamed.filter((userId) => write(userId, [])).length;
      event.positionFloor = position;
      return { ...event.log.position, replicated: false, changedUsers: changed + revokedUsers, revokedUsers };
    },

    async readUserPermissions(eventId, userId) {
      const event = state.events.get(eventId);
      const ban = state.standingBan(userId);
      if (event === undefined) return { channelIds: [], known: false, userRevision: 0, ban };
      const member = event.members.get(userId);
      return {
        position: event.log.position,
        channelIds: [...(member?.channelIds ?? [])],
        known: member !== undefined,
        userRevision: member?.revision ?? 0,
        pause: state.standingPause(event),
        ban,
      };
    },
  };
}
