import { invalidField } from "../../../domain/errors.js";
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
import {
  parseCount,
  parseDuration,
  parseIds,
  parseOptionalId,
  parseReason,
  parseSpeakerId,
  parseText,
  parseUserAndReason,
  toWriteAnswer,
} from "./convert.js";
import { readMemberSync } from "./syncEventMembers.js";

type PermissionServiceCalls = Pick<
  Handlers,
  | "getUserPermissions"
  | "setUserChannels"
  | "syncEventMembers"
  | "getEventActiveSpeakers"
  | "pauseAllSpeakers"
  | "resumeSpeakers"
  | "disconnectUser"
>;

/** How many users can be exempt from a pause. */
const MAX_EXEMPT_USERS = 100;

/**
 * The calls of PermissionService that answer once.
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
      const { channelIds, known, userRevision, pause, ban, position } = await engine.readUserPermissions(
        eventId,
        userId,
      );
      return {
        channelIds,
        known,
        userRevision: BigInt(userRevision),
        // The log of an event that was never written or watched has no epoch.
        cursor: toCursorMessage(eventId, position ?? { epoch: "", revision: 0 }),
        ...(pause && { pause: toSpeakerPauseMessage(pause) }),
        ...(ban && { ban: toUserBanMessage(ban) }),
      };
    },

    async setUserChannels(request, { actor }) {
      const { added, removed, superseded, ...write } = await engine.setUserChannels({
        eventId: parseId("event_id", request.eventId),
        userId: parseId("user_id", request.userId),
        channelIds: parseChannelIds("channel_ids", request.channelIds),
        action: parseOptionalId("action", request.action) || DEFAULT_ACTION,
        actor,
        onlyIfUnknown: request.onlyIfUnknown,
        ifRevision: request.ifRevision === undefined ? undefined : parseCount("if_revision", request.ifRevision),
      });
      return { added, removed, superseded, ...toWriteAnswer(write) };
    },

    async syncEventMembers(requests, { actor }) {
      const sync = { ...(await readMemberSync(requests)), actor };
      const { changedUsers, revokedUsers, ...write } = await engine.syncMembers(sync);
      return { changedUsers, revokedUsers, ...toWriteAnswer(write) };
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
        throw invalidField("duration", "must be above 0 if a broadcaster is given");
      }
      const replacePauseId = parseOptionalId("replace_pause_id", request.replacePauseId) || undefined;
      if (replacePauseId !== undefined && durationMs === 0) {
        throw invalidField("duration", "must be above 0 if replace_pause_id is given");
      }
      const outcome = await engine.pauseAllSpeakers({
        eventId,
        reason: parseReason(request.reason),
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
        ...toWriteAnswer(outcome),
      };
    },

    async resumeSpeakers({ eventId, pauseId }, { actor }) {
      parseId("event_id", eventId);
      return toWriteAnswer(await engine.resumeSpeakers(eventId, parseId("pause_id", pauseId), actor));
    },

    async disconnectUser(request, { actor }) {
      return toWriteAnswer(await engine.disconnectUser({ ...parseUserAndReason(request), actor }));
    },
  };
}
