import { comparePositions } from "../../domain/cursor.js";
import { SquelchError } from "../../domain/errors.js";
import { foreignChannelInSync, SYNC_ACTION } from "../../domain/memberSync.js";
import { diffChannels } from "../../domain/membership.js";
import type { MembershipOutcome, MembershipStore, MembershipUpdate } from "../../domain/ports.js";
import type { EventRecord, MemoryState } from "./state.js";

// Of all that was ever written in the event.
function highestGeneration(event: EventRecord): number {
  const positions = [event.positionFloor, ...[...event.members.values()].map((member) => member.position)];
  return positions.reduce((highest, { generation }) => Math.max(highest, generation), 0);
}

export function createMembershipStore(state: MemoryState): MembershipStore {
  function isForeign(eventId: string, channelId: string): boolean {
    return (state.eventOfChannel.get(channelId) ?? eventId) !== eventId;
  }

  function apply(event: EventRecord, update: MembershipUpdate): MembershipOutcome {
    const { userId, action, actor, position } = update;
    const member = event.members.get(userId);
    const nothing = { revision: member?.revision ?? 0, added: [], removed: [] };
    if (
      comparePositions(position, event.positionFloor) <= 0 ||
      (member !== undefined && comparePositions(position, member.position) <= 0)
    ) {
      return { status: "stale", ...nothing, foreignChannelIds: [] };
    }

    const foreignChannelIds = update.channelIds.filter((id) => isForeign(event.eventId, id));
    const channelIds = update.channelIds.filter((id) => !isForeign(event.eventId, id));
    for (const id of channelIds) {
      if (!event.channelIds.has(id)) state.addChannel(event, id);
    }

    const { added, removed } = diffChannels(member?.channelIds ?? [], channelIds);
    if (added.length + removed.length === 0) {
      event.members.set(userId, { channelIds, revision: nothing.revision, position });
      return { status: "unchanged", ...nothing, foreignChannelIds };
    }
    const kind = "membershipChanged";
    const revision = state.append(event, actor, { kind, userId, channelIds, added, removed, action });
    event.members.set(userId, { channelIds, revision, position });
    return { status: "changed", revision, added, removed, foreignChannelIds };
  }

  return {
    async applyMemberships(eventId, updates) {
      const event = state.open(eventId);
      return updates.map((update) => apply(event, update));
    },

    async setUserChannels({ eventId, onlyIfUnknown, ...write }) {
      const foreign = write.channelIds.find((id) => isForeign(eventId, id));
      if (foreign !== undefined) {
        throw new SquelchError(
          "failedPrecondition",
          `channel_ids: channel "${foreign}" belongs to event "${state.eventOfChannel.get(foreign)}"; ` +
            "move it with SetChannelEvent first",
        );
      }
      const member = state.events.get(eventId)?.members.get(write.userId);
      if (onlyIfUnknown && member !== undefined) {
        return { revision: member.revision, added: [], removed: [], superseded: true };
      }
      const outcome = apply(state.open(eventId), { ...write, position: state.takeTicket() });
      const { status, revision, added, removed } = outcome;
      return { revision, added, removed, superseded: status === "stale" };
    },

    async syncMembers({ eventId, users, actor }) {
      for (const { channelIds } of users) {
        const foreign = channelIds.find((id) => isForeign(eventId, id));
        if (foreign !== undefined) throw foreignChannelInSync(users, foreign, state.eventOfChannel.get(foreign) ?? "");
      }
      const event = state.open(eventId);
      const named = new Set(users.map((user) => user.userId));
      const unnamed = [...event.members.keys()].filter((userId) => !named.has(userId));
      const position = state.takeTicket(highestGeneration(event) + 1);
      const write = (userId: string, channelIds: string[]) =>
        apply(event, { userId, channelIds: [...channelIds], action: SYNC_ACTION, actor, position }).status ===
        "changed";
      const changed = users.filter(({ userId, channelIds }) => write(userId, channelIds)).length;
      const revokedUsers = unnamed.filter((userId) => write(userId, [])).length;
      event.positionFloor = position;
      return { revision: event.log.position.revision, changedUsers: changed + revokedUsers, revokedUsers };
    },

    async readUserPermissions(eventId, userId) {
      const event = state.events.get(eventId);
      if (event === undefined) return { channelIds: [], known: false };
      const member = event.members.get(userId);
      return {
        position: event.log.position,
        channelIds: [...(member?.channelIds ?? [])],
        known: member !== undefined,
        pause: state.standingPause(event),
      };
    },
  };
}
