import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { invalidField } from "../../../domain/errors.js";
import {
  DEFAULT_TALK_TIME_MS,
  MAX_LEASE_TIME_MS,
  MAX_QUEUE_MS,
  MIN_LEASE_TIME_MS,
  MIN_QUEUE_MS,
  MIN_TALK_TIME_MS,
} from "../../../domain/floor.js";
import { MAX_ID_BYTES, parseId } from "../../../domain/id.js";
import { unknownChannel } from "../../../domain/membership.js";
import type { StartPttOutcome } from "../../../domain/ports/floorStore.js";
import { toDenyCauseMessage } from "../../../wire/floorEnums.js";
import type { AnswerOf } from "../../contract.js";
import type { Hub } from "../../feed/hub.js";
import { toSpeakerFields, toSpeakerPauseMessage, toUserBanMessage } from "../../feed/wire/messages.js";
import type { Handlers } from "../call.js";
import { parseCount, parseDuration, parseOptionalId, parsePriority, parseSpeakerId, parseText } from "./convert.js";
import { NearChannels } from "./nearChannels.js";
import { parsePage, takePage } from "./paging.js";

type ChannelServiceCalls = Pick<
  Handlers,
  "setChannelEvent" | "getChannelEvent" | "listEventChannels" | "startPtt" | "renewPtt" | "stopPtt" | "getChannelState"
>;

/** The limits of the calls. */
export interface ChannelServiceLimits {
  maxTalkTimeMs: number;
  /** How many users may wait for the floor of a channel; 0 if there is no queue. */
  floorQueueLimit: number;
  /** Whether StartPtt denies channels that the user is not a member of. */
  membershipCheck: boolean;
}

/** The calls of ChannelService that answer once. */
export function createChannelService(
  hub: Hub,
  { maxTalkTimeMs, floorQueueLimit, membershipCheck }: ChannelServiceLimits,
): ChannelServiceCalls {
  const { engine } = hub;
  const near = new NearChannels(engine);
  return {
    async setChannelEvent({ channelId, eventId, onlyIfUnassigned }, { actor }) {
      parseId("channel_id", channelId);
      parseId("event_id", eventId);
      const previousEventId = await engine.setChannelEvent(channelId, eventId, actor, onlyIfUnassigned);
      return { previousEventId: previousEventId ?? "" };
    },

    async getChannelEvent({ channelId }, { identity }) {
      parseId("channel_id", channelId);
      return near.name(channelId, identity, async () => {
        const eventId = await engine.getChannelEvent(channelId);
        if (eventId === undefined) throw unknownChannel(channelId);
        return { eventId };
      });
    },

    async listEventChannels({ eventId, ...page }) {
      const { after, pageSize } = parsePage(page, [parseId("event_id", eventId)]);
      const channelIds = (await engine.listEventChannels(eventId)).filter((id) => after === undefined || id > after);
      const { items, nextPageToken } = takePage(channelIds, pageSize, [eventId], (channelId) => channelId);
      return { channelIds: items, nextPageToken };
    },

    async startPtt(
      { channelId, userId, userName, sessionId, priority, talkTime, leaseTime, queueFor },
      { actor, identity },
    ) {
      const talkTimeMs =
        parseDuration("talk_time", talkTime, MIN_TALK_TIME_MS, maxTalkTimeMs) ??
        Math.min(DEFAULT_TALK_TIME_MS, maxTalkTimeMs);
      const leaseTimeMs = parseDuration("lease_time", leaseTime, MIN_LEASE_TIME_MS, MAX_LEASE_TIME_MS) ?? talkTimeMs;
      const waitMs = parseDuration("queue_for", queueFor, MIN_QUEUE_MS, MAX_QUEUE_MS);
      const queue = floorQueueLimit > 0 && waitMs !== undefined ? { waitMs, limit: floorQueueLimit } : undefined;
      const request = {
        channelId: parseId("channel_id", channelId),
        userId: parseSpeakerId("user_id", userId),
        userName: parseText("user_name", userName, MAX_ID_BYTES) || userId,
        sessionId: parseOptionalId("session_id", sessionId),
        priority: parsePriority("priority", priority),
        talkTimeMs,
        leaseTimeMs,
        ignoresMembership: !membershipCheck,
        actor,
        queue,
      };
      const outcome = await near.name(channelId, identity, () => engine.startPtt(request));
      if (outcome.granted || outcome.place) void hub.keepWhileBusy(outcome.eventId);
      return { outcome: toOutcome(outcome) };
    },

    async renewPtt({ channelId, leaseId }, { identity }) {
      parseId("channel_id", channelId);
      if (leaseId === 0n) throw invalidField("lease_id", "must be given");
      const id = parseCount("lease_id", leaseId);
      const expiresAtMs = await near.name(channelId, identity, () => engine.renewPtt(channelId, id, !membershipCheck));
      return { expiresAt: timestampFromMs(expiresAtMs) };
    },

    async stopPtt({ channelId, leaseId, userId, sessionId }, { identity }) {
      parseId("channel_id", channelId);
      if (leaseId === 0n && userId === "") throw invalidField("lease_id", "must be given, or user_id");
      const owner =
        leaseId > 0n
          ? { leaseId: parseCount("lease_id", leaseId) }
          : { userId: parseId("user_id", userId), sessionId: parseOptionalId("session_id", sessionId) };
      await near.name(channelId, identity, () => engine.stopPtt(channelId, owner));
      return {};
    },

    async getChannelState({ channelId }, { identity }) {
      parseId("channel_id", channelId);
      const { eventId, holder } = await near.name(channelId, identity, () => engine.getChannelState(channelId));
      return { eventId, ...(holder && { holder: toSpeakerFields(holder) }) };
    },
  };
}

function toOutcome(outcome: StartPttOutcome): NonNullable<AnswerOf<"startPtt">["outcome"]> {
  if (outcome.granted) {
    const { startedAtMs, expiresAtMs } = outcome.speaker;
    const value = {
      leaseId: BigInt(outcome.leaseId),
      startedAt: timestampFromMs(startedAtMs),
      expiresAt: timestampFromMs(expiresAtMs),
      talkUntil: timestampFromMs(outcome.talkUntilMs),
    };
    return { case: "granted", value };
  }
  if (outcome.place !== undefined) {
    const { queueId, position, waiting, expiresAtMs } = outcome.place;
    const place = { queueId: BigInt(queueId), position, waiting, expiresAt: timestampFromMs(expiresAtMs) };
    return { case: "queued", value: { ...place, holder: toSpeakerFields(outcome.holder) } };
  }
  const { cause, holder, pause, ban } = outcome;
  return {
    case: "denied",
    value: {
      cause: toDenyCauseMessage(cause),
      ...(holder && { holder: toSpeakerFields(holder) }),
      ...(pause && { pause: toSpeakerPauseMessage(pause) }),
      ...(ban && { ban: toUserBanMessage(ban) }),
    },
  };
}
