import { EventEmitter } from "node:events";
import { ChannelService, type WatchChannelsResponse } from "../../../gen/squelch/v1/channel_service_pb.js";
import { SquelchError } from "../../domain/errors.js";
import { type ActiveSpeaker, isSameFloor } from "../../domain/floor.js";
import { checkOptions, FUNCTION, LOGGER, type OptionRules } from "../../domain/options.js";
import { backoffMs } from "../../lib/backoff.js";
import type { GrpcClient } from "../../lib/grpcService.js";
import { createLogger, type Logger } from "../../lib/logger.js";
import { speakerOf } from "./convert.js";
import { LastingStream } from "./lastingStream.js";

/** The floor of a channel has changed. */
export interface SpeakerChange {
  eventId: string;
  channelId: string;
  /** Who speaks now; undefined if nobody does. */
  holder: ActiveSpeaker | undefined;
}

/** What a ChannelClient tells its listeners. */
export interface ChannelEvents {
  speakerChanged: [SpeakerChange];
}

/** How a {@link ChannelClient} is set up. */
export interface ChannelClientOptions {
  /** The wait before the nth attempt in a row to open a stream, from 1. Default: 1, 2, 4, 8, 16, 30 s with jitter. */
  retryDelayMs?: (attempt: number) => number;
  /** Default: warnings and errors, to stdout. */
  logger?: Logger;
}

const OPTION_RULES: OptionRules<ChannelClientOptions> = { retryDelayMs: FUNCTION, logger: LOGGER };

/** One event that is followed. */
interface FollowedEvent {
  stream: LastingStream<WatchChannelsResponse>;
  followers: number;
  speakers: Map<string, ActiveSpeaker>;
  isCurrent: boolean;
  /** Those who wait until it is. */
  waiting: Set<() => void>;
}

/**
 * Who speaks in the events in which a router has clients, whoever made it so: its own clients, other routers, routers that
 * write Redis directly, a pause, the end of a lease. One stream an event, opened again by itself. Each change is told
 * once, in order; what a reconnection brings to light is told as far as it differs from what was known.
 *
 * @example
 * const channels = new ChannelClient(permissionClient.rpc);
 * channels.on("speakerChanged", ({ channelId, holder }) => console.log(channelId, holder?.userName ?? "free"));
 * const unfollow = channels.follow("festival");
 */
export class ChannelClient extends EventEmitter<ChannelEvents> {
  readonly #grpc: GrpcClient;
  readonly #retryDelayMs: (attempt: number) => number;
  readonly #logger: Logger;
  readonly #events = new Map<string, FollowedEvent>();

  /**
   * @param grpc the connection to the replicas, `rpc` of a PermissionClient; this client does not close it
   * @throws SquelchError `invalidArgument` if `grpc` or an option is missing, unknown or not valid
   */
  constructor(grpc: GrpcClient, options: ChannelClientOptions = {}) {
    super();
    if (typeof grpc?.serverStream !== "function") {
      throw new SquelchError("invalidArgument", "grpc: ChannelClient needs the rpc property of a PermissionClient");
    }
    checkOptions("ChannelClient", options, OPTION_RULES);
    this.#grpc = grpc;
    this.#retryDelayMs = options.retryDelayMs ?? backoffMs;
    this.#logger = options.logger ?? createLogger("squelch-router", "warn");
  }

  /** Follows an event until all who asked for it have called what is returned (each may do so repeatedly). */
  follow(eventId: string): () => void {
    const event = this.#events.get(eventId) ?? this.#open(eventId);
    event.followers += 1;
    let isFollowing = true;
    return () => {
      if (!isFollowing) return;
      isFollowing = false;
      event.followers -= 1;
      if (event.followers === 0) this.#close(eventId, event);
    };
  }

  /** True while the event is followed and its stream open: what is known is up to date, but for what is under way. */
  isCurrent(eventId: string): boolean {
    return this.#events.get(eventId)?.isCurrent ?? false;
  }

  /** Waits until `isCurrent`, at most for `timeoutMs`; resolves with whether it is. */
  async whenCurrent(eventId: string, timeoutMs: number): Promise<boolean> {
    const event = this.#events.get(eventId);
    if (event === undefined || event.isCurrent) return event !== undefined;
    await new Promise<void>((resolve) => {
      const done = () => {
        clearTimeout(timer);
        event.waiting.delete(done);
        resolve();
      };
      const timer = setTimeout(done, timeoutMs);
      event.waiting.add(done);
    });
    return event.isCurrent;
  }

  /** Who speaks on a channel of an event that is followed; undefined if nobody does, or nothing is known yet. */
  speakerOf(eventId: string, channelId: string): ActiveSpeaker | undefined {
    return this.#events.get(eventId)?.speakers.get(channelId);
  }

  /** Ends all streams, so that nothing more is told. Idempotent. */
  close(): void {
    for (const [eventId, event] of this.#events) this.#close(eventId, event);
  }

  #open(eventId: string): FollowedEvent {
    const stream = new LastingStream<WatchChannelsResponse>(
      this.#grpc,
      {
        open: () => this.#grpc.serverStream(ChannelService.method.watchChannels, { eventIds: [eventId] }),
        receive: (message) => this.#receive(eventId, event, message),
        down: () => {
          event.isCurrent = false;
        },
        retryDelayMs: this.#retryDelayMs,
      },
      this.#logger.child({ eventId }),
    );
    const event: FollowedEvent = {
      ...{ stream, followers: 0, isCurrent: false },
      ...{ speakers: new Map(), waiting: new Set() },
    };
    this.#events.set(eventId, event);
    stream.open();
    return event;
  }

  #close(eventId: string, event: FollowedEvent): void {
    event.stream.close();
    event.isCurrent = false;
    for (const done of event.waiting) done();
    if (this.#events.get(eventId) === event) this.#events.delete(eventId);
  }

  #receive(eventId: string, event: FollowedEvent, { channelId, holder, snapshot }: WatchChannelsResponse): void {
    if (snapshot === undefined) {
      this.#set(eventId, event, channelId, holder && speakerOf(holder));
      return;
    }
    event.stream.succeeded();
    event.isCurrent = true;
    const speakers = new Map(snapshot.speakers.map((speaker) => [speaker.channelId, speakerOf(speaker)]));
    for (const known of [...event.speakers.keys()]) {
      if (!speakers.has(known)) this.#set(eventId, event, known, undefined);
    }
    for (const [speaking, speaker] of speakers) this.#set(eventId, event, speaking, speaker);
    for (const done of event.waiting) done();
  }

  #set(eventId: string, event: FollowedEvent, channelId: string, holder: ActiveSpeaker | undefined): void {
    const isSame = isSameFloor(event.speakers.get(channelId), holder);
    if (holder === undefined) event.speakers.delete(channelId);
    else event.speakers.set(channelId, holder);
    if (!isSame) this.emit("speakerChanged", { eventId, channelId, holder });
  }
}
