import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { ChannelService } from "../../../gen/squelch/v1/channel_service_pb.js";
import { PermissionService } from "../../../gen/squelch/v1/permission_service_pb.js";
import type { UserBan } from "../../domain/ban.js";
import type { ActiveSpeaker, FloorDenyCause, FloorPriority, SpeakerPause } from "../../domain/floor.js";
import { MAX_ID_BYTES } from "../../domain/id.js";
import type { GrpcClient } from "../../lib/grpcService.js";
import { encodePercent } from "../../lib/percentText.js";
import { denyCauseOf, toPriorityMessage } from "../../wire/floorEnums.js";
import { banOf, msOf, pauseOf, reasonOf, speakerOf } from "../client/convert.js";
import type { ClientIdentity } from "./clientToken.js";

const DEADLINE_MS = 1_500;
/** How long a lease lasts without a renewal, ms. If this router crashes, the floor is free after this time. */
const LEASE_TIME_MS = 6_000;

/** How long a place in a queue lasts until the request is repeated, ms. */
const QUEUE_FOR_MS = 6_000;

/** The answer of the store to a press of the talk button. */
export type PttOutcome =
  | { granted: true; leaseId: bigint; startedAtMs: number; expiresAtMs: number; talkUntilMs: number }
  | { granted: false; place: QueuedPress }
  | {
      granted: false;
      place?: undefined;
      cause: FloorDenyCause | "other";
      holder: ActiveSpeaker | undefined;
      pause: SpeakerPause | undefined;
      ban: UserBan | undefined;
    };

/** A place in the queue for the floor. */
export interface QueuedPress {
  queueId: bigint;
  /** Counted from 1. The first gets the floor next. */
  position: number;
  waiting: number;
  holder: ActiveSpeaker | undefined;
}

/** The state of a channel, read from the store. */
export interface StoredChannel {
  eventId: string;
  holder: ActiveSpeaker | undefined;
}

/** What identifies a floor to release: the lease, or user and session if the lease is unknown. */
export type FloorClaim = { leaseId: bigint } | { userId: string; sessionId: string };

/** The calls that a router makes for its clients. Each has a deadline of 1.5 s and rejects with a grpc-js ServiceError. */
export class RouterCalls {
  readonly #grpc: GrpcClient;
  readonly #routerId: string;

  constructor(grpc: GrpcClient, routerId: string) {
    this.#grpc = grpc;
    this.#routerId = routerId;
  }

  /** Returns the state of a channel; undefined if it does not belong to any event. */
  async getChannel(channelId: string): Promise<StoredChannel | undefined> {
    try {
      const answer = await this.#grpc.unary(ChannelService.method.getChannelState, { channelId }, this.#options());
      return { eventId: answer.eventId, holder: answer.holder && speakerOf(answer.holder) };
    } catch (error) {
      if (reasonOf(error as ServiceError)?.reason === "UNKNOWN_CHANNEL") return undefined;
      throw error;
    }
  }

  /** Adds a channel without event to an event. FAILED_PRECONDITION if the channel belongs to another event. */
  async adoptChannel(channelId: string, eventId: string): Promise<void> {
    const request = { channelId, eventId, onlyIfUnassigned: true };
    await this.#grpc.unary(ChannelService.method.setChannelEvent, request, this.#options());
  }

  /** Gives the channels of the token to a user who is unknown to the store. */
  async seedUser({ eventId, userId, channelIds }: ClientIdentity): Promise<void> {
    const request = { eventId, userId, channelIds, action: "token", onlyIfUnknown: true };
    await this.#grpc.unary(PermissionService.method.setUserChannels, request, this.#options());
  }

  /**
   * Asks for the floor. While the session holds the floor, the answer has the same lease.
   *
   * @param waits true to wait in the queue while another user holds the floor. The place lasts 6 s unless asked again
   */
  async startPtt(
    channelId: string,
    user: ClientIdentity,
    sessionId: string,
    priority: FloorPriority,
    waits = false,
  ): Promise<PttOutcome> {
    const { userId, userName } = user;
    const leaseTime = durationFromMs(LEASE_TIME_MS);
    const terms = { leaseTime, priority: toPriorityMessage(priority) };
    const queue = waits && { queueFor: durationFromMs(QUEUE_FOR_MS) };
    const request = { channelId, userId, userName, sessionId, ...terms, ...queue };
    const { outcome } = await this.#grpc.unary(ChannelService.method.startPtt, request, this.#options());
    switch (outcome.case) {
      case "granted": {
        const { leaseId, startedAt, expiresAt, talkUntil } = outcome.value;
        const [startedAtMs, expiresAtMs, talkUntilMs] = [msOf(startedAt), msOf(expiresAt), msOf(talkUntil)];
        return { granted: true, leaseId, startedAtMs, expiresAtMs, talkUntilMs };
      }
      case "denied": {
        const { cause, holder, pause, ban } = outcome.value;
        return {
          granted: false,
          cause: denyCauseOf(cause) ?? "other",
          holder: holder && speakerOf(holder),
          pause: pause && pauseOf(pause),
          ban: ban && banOf(ban),
        };
      }
      case "queued": {
        const { queueId, position, waiting, holder } = outcome.value;
        return { granted: false, place: { queueId, position, waiting, holder: holder && speakerOf(holder) } };
      }
      case undefined:
        return { granted: false, cause: "other", holder: undefined, pause: undefined, ban: undefined };
    }
  }

  /** Extends a lease. Returns its new end, ms since 1970. FAILED_PRECONDITION if the lease has ended or was replaced. */
  async renewPtt(channelId: string, leaseId: bigint): Promise<number> {
    const method = ChannelService.method.renewPtt;
    const { expiresAt } = await this.#grpc.unary(method, { channelId, leaseId }, this.#options());
    return msOf(expiresAt);
  }

  /** Releases the floor or the place in the queue. FAILED_PRECONDITION if the holder has neither. */
  async stopPtt(channelId: string, holder: FloorClaim): Promise<void> {
    await this.#grpc.unary(ChannelService.method.stopPtt, { channelId, ...holder }, this.#options());
  }

  /**
   * Pauses the event and gives the user the floor of every channel. FAILED_PRECONDITION if another pause exists, unless it
   * has the same broadcaster or is the one to replace.
   */
  async startBroadcast(user: ClientIdentity, requestId: string, replacePauseId = ""): Promise<SpeakerPause> {
    const { eventId, userId, userName } = user;
    const request = {
      eventId,
      reason: `Emergency broadcast by ${userName}`,
      broadcaster: { userId, userName },
      requestId,
      replacePauseId,
    };
    const method = PermissionService.method.pauseAllSpeakers;
    const { pause } = await this.#grpc.unary(method, request, this.#options(`user:${userId}`));
    if (pause === undefined) throw new Error("the answer of the replica has no pause");
    return pauseOf(pause);
  }

  /** Reads the current pause of an event from the store, because the watch may not have delivered it yet. */
  async getPause(eventId: string): Promise<SpeakerPause | undefined> {
    const method = PermissionService.method.getEventActiveSpeakers;
    const { pause } = await this.#grpc.unary(method, { eventId }, this.#options());
    return pause && pauseOf(pause);
  }

  /** Ends a pause. FAILED_PRECONDITION if the event is not paused by it. */
  async stopBroadcast({ eventId, userId }: ClientIdentity, pauseId: string): Promise<void> {
    const method = PermissionService.method.resumeSpeakers;
    await this.#grpc.unary(method, { eventId, pauseId }, this.#options(`user:${userId}`));
  }

  /** Disconnects a user from the dispatcher's event, on every router. */
  async disconnectUser(dispatcher: ClientIdentity, targetUserId: string, reason: string): Promise<void> {
    const request = { eventId: dispatcher.eventId, userId: targetUserId, reason };
    const options = this.#options(`user:${dispatcher.userId}`);
    await this.#grpc.unary(PermissionService.method.disconnectUser, request, options);
  }

  #options(actor = `router:${this.#routerId}`) {
    const metadata = new Metadata();
    metadata.set("squelch-actor", encodePercent(actorId(actor)));
    return { deadline: Date.now() + DEADLINE_MS, metadata };
  }
}

const explained = new Set([
  status.INVALID_ARGUMENT,
  status.NOT_FOUND,
  status.FAILED_PRECONDITION,
  status.PERMISSION_DENIED,
  status.RESOURCE_EXHAUSTED,
  status.UNIMPLEMENTED,
]);

/** True if the service refused the request and changed nothing. If false, the outcome may be unknown. */
export function isRefusal(error: unknown): error is ServiceError {
  return explained.has((error as Partial<ServiceError>).code ?? status.UNKNOWN);
}

/** True if the lease has ended or was replaced. Other refusals, such as a call limit, do not end a lease. */
export function isStaleLease(error: unknown): boolean {
  const { reason = "" } = reasonOf(error as ServiceError) ?? {};
  return ["STALE_LEASE", "NOT_HOLDER", "UNKNOWN_CHANNEL"].includes(reason);
}

/** Returns the message for a client whose call failed: the message of the service for a refusal, or "Service unavailable". */
export function refusalText(error: unknown): string {
  return isRefusal(error) ? error.details : "Service unavailable";
}

// An actor is an id: without braces and control characters, and at most 128 bytes.
function actorId(name: string): string {
  let id = name.replace(/[{}\p{Cc}\p{Cs}\p{Zl}\p{Zp}]/gu, "_");
  while (Buffer.byteLength(id) > MAX_ID_BYTES) id = Array.from(id).slice(0, -1).join("");
  return id;
}
