import type { MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { ChannelService, StartPttResponseSchema } from "../../../gen/squelch/v1/channel_service_pb.js";
import { FloorDenyCause, FloorPriority } from "../../../gen/squelch/v1/model_pb.js";
import { SquelchError } from "../../domain/errors.js";
import { MAX_ID_BYTES, parseId } from "../../domain/id.js";
import type { Engine, StartPttOutcome } from "../../domain/ports.js";
import { toActiveSpeakerMessage, toSpeakerPauseMessage } from "../feed/messages.js";
import type { CallContext } from "./callContext.js";
import { parseCount, parseOptionalId, parseSpeakerId, parseText } from "./convert.js";

type Methods = (typeof ChannelService)["method"];
type Unary<Name extends keyof Methods> = (
  request: MessageShape<Methods[Name]["input"]>,
  context: CallContext,
) => Promise<MessageInitShape<Methods[Name]["output"]>>;

/** The calls of ChannelService that answer once. */
export type ChannelServiceCalls = {
  [Name in
    | "setChannelEvent"
    | "getChannelEvent"
    | "listEventChannels"
    | "startPtt"
    | "stopPtt"
    | "getChannelState"]: Unary<Name>;
};

const denyCauses = {
  anotherHasPermission: FloorDenyCause.ANOTHER_HAS_PERMISSION,
  retryAfter: FloorDenyCause.RETRY_AFTER,
  receiveOnly: FloorDenyCause.RECEIVE_ONLY,
} as const;

export function createChannelService(engine: Engine): ChannelServiceCalls {
  return {
    async setChannelEvent({ channelId, eventId, onlyIfUnassigned }, { actor }) {
      parseId("channel_id", channelId);
      parseId("event_id", eventId);
      const previousEventId = await engine.setChannelEvent(channelId, eventId, actor, onlyIfUnassigned);
      return { previousEventId: previousEventId ?? "" };
    },

    async getChannelEvent({ channelId }) {
      const eventId = await engine.getChannelEvent(parseId("channel_id", channelId));
      if (eventId !== undefined) return { eventId };
      throw new SquelchError("notFound", `channel_id: "${channelId}" belongs to no event`);
    },

    async listEventChannels({ eventId }) {
      return { channelIds: await engine.listEventChannels(parseId("event_id", eventId)) };
    },

    async startPtt({ channelId, userId, userName, sessionId, priority }) {
      if (priority !== FloorPriority.UNSPECIFIED && priority !== FloorPriority.NORMAL) {
        throw new SquelchError("unimplemented", "priority: only normal is served yet; leave it unset");
      }
      const outcome = await engine.startPtt({
        channelId: parseId("channel_id", channelId),
        userId: parseSpeakerId("user_id", userId),
        userName: parseText("user_name", userName, MAX_ID_BYTES) || userId,
        sessionId: parseOptionalId("session_id", sessionId),
        priority: "normal",
      });
      return { outcome: toOutcome(outcome) };
    },

    async stopPtt({ channelId, leaseId, userId, sessionId }) {
      parseId("channel_id", channelId);
      if (leaseId > 0n) {
        await engine.stopPtt(channelId, { leaseId: parseCount("lease_id", leaseId) });
        return {};
      }
      if (userId === "") throw new SquelchError("invalidArgument", "lease_id: must be given, or user_id");
      parseId("user_id", userId);
      await engine.stopPtt(channelId, { userId, sessionId: parseOptionalId("session_id", sessionId) });
      return {};
    },

    async getChannelState({ channelId }) {
      const { eventId, holder } = await engine.getChannelState(parseId("channel_id", channelId));
      return { eventId, ...(holder && { holder: toActiveSpeakerMessage(holder) }) };
    },
  };
}

function toOutcome(outcome: StartPttOutcome): NonNullable<MessageInitShape<typeof StartPttResponseSchema>["outcome"]> {
  if (outcome.granted) {
    const { startedAtMs, expiresAtMs } = outcome.speaker;
    const lease = { startedAt: timestampFromMs(startedAtMs), expiresAt: timestampFromMs(expiresAtMs) };
    return { case: "granted", value: { leaseId: BigInt(outcome.leaseId), ...lease } };
  }
  const { cause, holder, pause } = outcome;
  return {
    case: "denied",
    value: {
      cause: denyCauses[cause],
      ...(holder && { holder: toActiveSpeakerMessage(holder) }),
      ...(pause && { pause: toSpeakerPauseMessage(pause) }),
    },
  };
}
