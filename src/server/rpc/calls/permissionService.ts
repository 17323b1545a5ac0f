import { MAX_BAN_MS, MIN_BAN_MS } from "../../../domain/ban.js";
import { SquelchError } from "../../../domain/errors.js";
import { DEFAULT_PAUSE_MS, MAX_PAUSE_MS } from "../../../domain/floor.js";
import { MAX_ID_BYTES, parseId } from "../../../domain/id.js";
import { DEFAULT_ACTION, parseChannelIds } from "../../../domain/membership.js";
import type { Hub } from "../../feed/hub.js";
import {
  toCursorMessage,
  toSpeakerFields,
  toSpeakerPauseMessage,
  toUserBanMessage,
  toWaitingSpeakerMessage,
} from "../../feed/wire/messages.js";
import type { CatchUp } from "../../state/catchUp.js";
import type { Handlers } from "../call.js";
import { parseDuration, parseIds, parseOptionalId, parseSpeakerId, parseText } from "./convert.js";
import { readMemberSync } from "./syncEventMembers.js";

type PermissionServiceCalls = Pick<
  Handlers,
  | "getUserPermissions"
  | "setUserChannels"
  | "syncEventMembers"
  | "reconcileMemberships"
  | "getEventActiveSpeakers"
  | "pauseAllSpeakers"
  | "resumeSpeakers"
  | "disconnectUser"
  | "banUser"
  | "unbanUser"
  | "listBans"
>;

/** How many users can be exempt from a pause. */
const MAX_EXEMPT_USERS = 100;
const MAX_REASON_BYTES = 512;

/**
 * The calls of PermissionService that answer once, except those about applied changes, the fleet and the audit trail.
 *
 * @param catchUp undefined if no control plane publishes to this replica
 */
export function createPermissionService(hub: Hub, catchUp?: CatchUp): PermissionServiceCalls {
  const { engine } = hub;
  return {
    async getUserPermissions({ eventId, userId }) {
      parseId("event_id", eventId);
      parseId("user_id", userId);
      await catchUp?.ensureCurrent(userId);
      const { channelIds, known, pause, ban, position } = await engine.readUserPermissions(eventId, userId);
      return {
        channelIds,
        known,
        ...(position && { cursor: toCursorMessage(eventId, position) }),
        ...(pause && { pause: toSpeakerPauseMessage(pause) }),
        ...(ban && { ban: toUserBanMessage(ban) }),
      };
    },

    async setUserChannels(request, { actor }) {
      const { revision, ...outcome } = await engine.setUserChannels({
        eventId: parseId("event_id", request.eventId),
        userId: parseId("user_id", request.userId),
        channelIds: parseChannelIds("channel_ids", request.channelIds),
        action: parseOptionalId("action", request.action) || DEFAULT_ACTION,
        actor,
        onlyIfUnknown: request.onlyIfUnknown,
      });
      return { ...outcome, revision: BigInt(revision) };
    },

    async syncEventMembers(requests, { actor }) {
      const { revision, ...outcome } = await engine.syncMembers({ ...(await readMemberSync(requests)), actor });
      return { ...outcome, revision: BigInt(revision) };
    },

    async reconcileMemberships(_request, { signal }) {
      if (catchUp === undefined) {
        throw new SquelchError(
          "failedPrecondition",
          "this replica receives no updates of a control plane, so there is nothing to compare: it keeps memberships in " +
            "its own memory, or in a Cluster without --ingest-redis-url",
        );
      }
      const { generation, compared, changed, ambiguous } = await catchUp.reconcile(signal);
      return {
        generation: BigInt(generation),
        comparedUsers: compared,
        changedUsers: changed,
        ambiguousUsers: ambiguous,
      };
    },

    async getEventActiveSpeakers({ eventId }) {
      const { speakers, waiting, pause } = await engine.getActiveSpeakers(parseId("event_id", eventId));
      return {
        speakers: speakers.map(toSpeakerFields),
        waiting: waiting?.map(toWaitingSpeakerMessage) ?? [],
        ...(pause && { pause: toSpeakerPauseMessage(pause) }),
      };
    },

    async pauseAllSpeakers(request, { actor }) {
      const eventId = parseId("event_id", request.eventId);
      const { broadcaster } = request;
      const durationMs = parseDuration("duration", request.duration, 0, MAX_PAUSE_MS) ?? DEFAULT_PAUSE_MS;
      if (broadcaster !== undefined && durationMs === 0) {
        throw new SquelchError("invalidArgument", "duration: must be above 0 if a broadcaster is given");
      }
      const replacePauseId = parseOptionalId("replace_pause_id", request.replacePauseId) || undefined;
      if (replacePauseId !== undefined && durationMs === 0) {
        throw new SquelchError("invalidArgument", "duration: must be above 0 if replace_pause_id is given");
      }
      const outcome = await engine.pauseAllSpeakers({
        eventId,
        reason: parseText("reason", request.reason, MAX_REASON_BYTES),
        actor,
        durationMs,
        exemptUserIds: parseIds("exempt_user_ids", request.exemptUserIds, MAX_EXEMPT_USERS),
        broadcaster: broadcaster && {
          userId: parseSpeakerId("broadcaster.user_id", broadcaster.userId),
          userName: parseText("broadcaster.user_name", broadcaster.userName, MAX_ID_BYTES) || broadcaster.userId,
        },
        requestId: parseOptionalId("request_id", request.requestId),
        replacePauseId,
      });
      if (durationMs > 0) hub.pauses.uphold(eventId);
      return {
        pause: toSpeakerPauseMessage(outcome.pause),
        paused: outcome.cut.map(toSpeakerFields),
        replacedPauseId: outcome.replacedPauseId ?? "",
        revision: BigInt(outcome.revision),
        replicated: outcome.replicated,
      };
    },

    async resumeSpeakers({ eventId, pauseId }, { actor }) {
      const revision = await engine.resumeSpeakers(parseId("event_id", eventId), parseId("pause_id", pauseId), actor);
      return { revision: BigInt(revision) };
    },

    async disconnectUser(request, { actor }) {
      const { revision, replicated } = await engine.disconnectUser({ ...parseUserAndReason(request), actor });
      return { revision: BigInt(revision), replicated };
    },

    async banUser(request, { actor }) {
      const { ban, revision, replicated } = await engine.banUser({
        ...parseUserAndReason(request),
        actor,
        durationMs: parseDuration("duration", request.duration, MIN_BAN_MS, MAX_BAN_MS),
      });
      return { ban: toUserBanMessage(ban), revision: BigInt(revision), replicated };
    },

    async unbanUser({ eventId, userId }, { actor }) {
      const revision = await engine.unbanUser(parseId("event_id", eventId), parseId("user_id", userId), actor);
      return { revision: BigInt(revision) };
    },

    async listBans({ eventId }) {
      const bans = await engine.listBans(parseId("event_id", eventId));
      return { bans: bans.map(toUserBanMessage) };
    },
  };
}

function parseUserAndReason({ eventId, userId, reason }: { eventId: string; userId: string; reason: string }) {
  return {
    eventId: parseId("event_id", eventId),
    userId: parseId("user_id", userId),
    reason: parseText("reason", reason, MAX_REASON_BYTES),
  };
}
