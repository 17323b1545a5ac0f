import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { ChannelService } from "../../../gen/squelch/v1/channel_service_pb.js";
import { PermissionService } from "../../../gen/squelch/v1/permission_service_pb.js";
import type { UserBan } from "../../domain/ban.js";
import type { ActiveSpeaker, FloorDenyCause, FloorPriority, SpeakerPause } from "../../domain/floor.js";
import { MAX_ID_BYTES } from "../../domain/id.js";
import type { GrpcClient } from "../../lib/grpcService.js";
import { denyCauseOf, toPriorityMessage } from "../../wire/floorEnums.js";
import { banOf, msOf, pauseOf, speakerOf } from "../client/convert.js";
import type { ClientIdentity } from "./clientToken.js";

const DEADLINE_MS = 1_500;
/** How long the floor is kept without a renewal, ms: after a crash of this router it is free again this soon. */
const LEASE_TIME_MS = 6_000;

/** How long a place in a queue is kept until the floor is asked for anew, ms. */
const QUEUE_FOR_MS = 6_000;

/** What the store answers to a press of the talk button. */
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

/** A place among those who wait for the floor. */
export interface QueuedPress {
  queueId: bigint;
  /** 1 is next. */
  position: number;
  waiting: number;
  holder: ActiveSpeaker | undefined;
}

/** A channel as the store has it. */
export interface StoredChannel {
  eventId: string;
  holder: ActiveSpeaker | undefined;
}

/** What a client gives back: the floor under a lease, or what the user has in a session where the lease is unknown. */
export type FloorClaim = { leaseId: bigint } | { userId: string; sessionId: string };

/** The calls that a router makes for its clients. Each rejects with a grpc-js ServiceError after 1.5 s at the latest. */
export class RouterCalls {
  readonly #grpc: GrpcClient;
  readonly #routerId: string;

  constructor(grpc: GrpcClient, routerId: string) {
    this.#grpc = grpc;
    this.#routerId = routerId;
  }

  /** The channel; undefined if it belongs to no event. */
  async getChannel(channelId: string): Promise<StoredChannel | undefined> {
    try {
      const answer = await this.#grpc.unary(ChannelService.method.getChannelState, { channelId }, this.#options());
      return { eventId: answer.eventId, holder: answer.holder && speakerOf(answer.holder) };
    } catch (error) {
      if ((error as ServiceError).code === status.NOT_FOUND) return undefined;
      throw error;
    }
  }

  /** Associates a channel that belongs to no event. FAILED_PRECONDITION if it belongs to another. */
  async adoptChannel(channelId: string, eventId: string): Promise<void> {
    const request = { channelId, eventId, onlyIfUnassigned: true };
    await this.#grpc.unary(ChannelService.method.setChannelEvent, request, this.#options());
  }

  /** Gives a user of whom the store has never heard the channels of the token. */
  async seedUser({ eventId, userId, channelIds }: ClientIdentity): Promise<void> {
    const request = { eventId, userId, channelIds, action: "token", onlyIfUnknown: true };
    await this.#grpc.unary(PermissionService.method.setUserChannels, request, this.#options());
  }

  /**
   * Asks for the floor; again under the same session while it is held: the same lease.
   *
   * @param waits whether to wait for it where another holds it, for 6 s until asked for again
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

  /** Extends the lease; returns until when, ms since 1970. FAILED_PRECONDITION if it is not the current one. */
  async renewPtt(channelId: string, leaseId: bigint): Promise<number> {
    const method = ChannelService.method.renewPtt;
    const { expiresAt } = await this.#grpc.unary(method, { channelId, leaseId }, this.#options());
    return msOf(expiresAt);
  }

  /** FAILED_PRECONDITION if the floor is held otherwise or not at all. */
  async stopPtt(channelId: string, holder: FloorClaim): Promise<void> {
    await this.#grpc.unary(ChannelService.method.stopPtt, { channelId, ...holder }, this.#options());
  }

  /**
   * Pauses the event and gives the user the floor of every channel. FAILED_PRECONDITION if a pause stands that is not the
   * user's own, nor the one to take the place of.
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
    if (pause === undefined) throw new Error("the replica answered without a pause");
    return pauseOf(pause);
  }

  /** The pause that stands in an event: from the store, since the news of it may still be under way. */
  async getPause(eventId: string): Promise<SpeakerPause | undefined> {
    const method = PermissionService.method.getEventActiveSpeakers;
    const { pause } = await this.#grpc.unary(method, { eventId }, this.#options());
    return pause && pauseOf(pause);
  }

  /** FAILED_PRECONDITION if that pause does not stand. */
  async stopBroadcast({ eventId, userId }: ClientIdentity, pauseId: string): Promise<void> {
    const method = PermissionService.method.resumeSpeakers;
    await this.#grpc.unary(method, { eventId, pauseId }, this.#options(`user:${userId}`));
  }

  /** Has every router drop all sockets of a user in the dispatcher's event. */
  async disconnectUser(dispatcher: ClientIdentity, targetUserId: string, reason: string): Promise<void> {
    const request = { eventId: dispatcher.eventId, userId: targetUserId, reason };
    const options = this.#options(`user:${dispatcher.userId}`);
    await this.#grpc.unary(PermissionService.method.disconnectUser, request, options);
  }

  #options(actor = `router:${this.#routerId}`) {
    const metadata = new Metadata();
    // A header carries only printable ASCII, an actor neither braces nor more than 128 bytes.
    metadata.set("squelch-actor", actor.replace(/[^\x20-\x7e]|[{}]/g, "_").slice(0, MAX_ID_BYTES));
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

/** True if the store refused the request, so that nothing was done; else the outcome may be unknown. */
export function isRefusal(error: unknown): error is ServiceError {
  return explained.has((error as Partial<ServiceError>).code ?? status.UNKNOWN);
}

/** True if the store says that a lease is not the current one. Other refusals, of calls that are too many, leave it be. */
export function isStaleLease(error: unknown): boolean {
  const { code } = error as Partial<ServiceError>;
  return code === status.FAILED_PRECONDITION || code === status.NOT_FOUND;
}

/** What a client is told of a failed call: the store's words where it refused, else that the service is unavailable. */
export function refusalText(error: unknown): string {
  return isRefusal(error) ? error.details : "Service unavailable";
}
