import { notBanned, type UserBan } from "../../domain/ban.js";
import type { ActiveSpeaker } from "../../domain/floor.js";
import type { BanStore, DisconnectRequest } from "../../domain/ports/banStore.js";
import { openEvent, revoke } from "./floor.js";
import { leaveQueues } from "./floorQueue.js";
import { release, settledLease } from "./leases.js";
import type { EventRecord, MemoryState } from "./state.js";

export function createBanStore(state: MemoryState): BanStore {
  // If the user is the broadcaster of a pause, the pause continues without a broadcaster.
  function takeFloors(event: EventRecord, userId: string, actor: string): void {
    const isBroadcaster = event.pause?.broadcaster?.userId === userId;
    if (isBroadcaster && event.pause) event.pause = { ...event.pause, broadcaster: undefined };
    leaveQueues(state, event, userId);
    const cut: ActiveSpeaker[] = [];
    for (const channelId of [...event.channelIds].sort()) {
      const lease = settledLease(state, event, channelId);
      if (lease?.speaker.userId !== userId) continue;
      if (isBroadcaster) cut.push(lease.speaker);
      else revoke(state, event, actor, lease, "noPermission");
      release(state, event, channelId);
    }
    if (isBroadcaster && event.pause) state.append(event, actor, { kind: "speakersPaused", pause: event.pause, cut });
  }

  function disconnect(event: EventRecord, { userId, reason, actor }: Omit<DisconnectRequest, "eventId">): void {
    takeFloors(event, userId, actor);
    event.disconnectedAtMs.set(userId, state.now());
    state.append(event, actor, { kind: "userDisconnected", userId, reason });
  }

  function announceBan(event: EventRecord, actor: string, ban: UserBan): void {
    event.bans.set(ban.userId, ban);
    state.append(event, actor, { kind: "userBanned", ban });
  }

  function announceEndOfBan(event: EventRecord, actor: string, userId: string, expired: boolean): void {
    event.bans.delete(userId);
    state.append(event, actor, { kind: "userUnbanned", userId, expired });
  }

  return {
    banScope: "fleet",

    async disconnectUser({ eventId, ...request }) {
      const event = openEvent(state, eventId);
      disconnect(event, request);
      return { ...event.log.position, replicated: false };
    },

    async banUser({ eventId, userId, reason, actor, durationMs }) {
      const event = openEvent(state, eventId);
      const bannedAtMs = state.now();
      const end = durationMs !== undefined && { expiresAtMs: bannedAtMs + durationMs };
      const ban: UserBan = { userId, reason, bannedBy: actor, bannedAtMs, ...end };
      state.bans.set(userId, ban);
      announceBan(event, actor, ban);
      disconnect(event, { userId, reason, actor });
      state.banListeners.emit("", undefined);
      return { ban, ...event.log.position, replicated: false };
    },

    async unbanUser(eventId, userId, actor) {
      if (state.standingBan(userId) === undefined) throw notBanned(userId);
      state.bans.delete(userId);
      const event = openEvent(state, eventId);
      announceEndOfBan(event, actor, userId, false);
      state.banListeners.emit("", undefined);
      return { ...event.log.position, replicated: false };
    },

    async listBans() {
      const endOf = ({ expiresAtMs = Number.POSITIVE_INFINITY }: UserBan) => expiresAtMs;
      const bans = [...state.bans.keys()].flatMap((userId) => state.standingBan(userId) ?? []);
      return bans.sort((a, b) => (endOf(a) === endOf(b) ? (a.userId < b.userId ? -1 : 1) : endOf(a) - endOf(b)));
    },

    async settleBans(eventId) {
      if (!state.events.has(eventId)) return undefined;
      const event = openEvent(state, eventId);
      for (const [userId, { expiresAtMs }] of [...event.bans]) {
        if (state.standingBan(userId) !== undefined) continue;
        announceEndOfBan(event, "", userId, expiresAtMs !== undefined && expiresAtMs <= state.now());
      }
      for (const userId of state.bans.keys()) {
        const ban = state.standingBan(userId);
        const announced = event.bans.get(userId);
        const isKnown =
          announced !== undefined || event.members.has(userId) || event.pause?.broadcaster?.userId === userId;
        if (ban === undefined || announced === ban || !isKnown) continue;
        announceBan(event, "", ban);
        if (announced === undefined) disconnect(event, { userId, reason: ban.reason, actor: "" });
      }
      const ends = [...event.bans.values()].flatMap(({ expiresAtMs }) => expiresAtMs ?? []);
      return ends.length === 0 ? undefined : Math.min(...ends) - state.now();
    },

    async followBans(_eventId, listener) {
      return state.banListeners.add("", listener);
    },
  };
}
