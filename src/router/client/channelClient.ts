import { EventEmitter } from "node:events";
import {
  ChannelService,
  type SpeakersSnapshot,
  type WatchChannelsResponse,
} from "../../../gen/squelch/v1/channel_service_pb.js";
import { SquelchError } from "../../domain/errors.js";
import { type ActiveSpeaker, isSameFloor } from "../../domain/floor.js";
import { checkOptions, FUNCTION, LOGGER, type OptionRules } from "../../domain/options.js";
import { backoffMs } from "../../lib/backoff.js";
import type { GrpcClient } from "../../lib/grpcService.js";
import { createLogger, type Logger } from "../../lib/logger.js";
import { speakerOf } from "./convert.js";
import { LastingStream } from "./lastingStream.js";

/** A channel has a new speaker, or no speaker any more. */
export interface SpeakerChange {
  eventId: string;
  channelId: string;
  /** The user who now holds the floor; undefined if the floor is free. */
  holder: ActiveSpeaker | undefined;
}

/** The events that a ChannelClient emits. */
export interface ChannelEvents {
  speakerChanged: [SpeakerChange];
}

/** The options of a {@link ChannelClient}. */
export interface ChannelClientOptions {
  /** Returns the wait in ms before attempt n in a row to open a stream. Default: 1, 2, 4, 8, 16, 30 s with jitter. */
  retryDelayMs?: (attempt: number) => number;
  /** Default: a logger that writes warnings and errors to stdout. */
  logger?: Logger;
}

const OPTION_RULES: OptionRules<ChannelClientOptions> = { retryDelayMs: FUNCTION, logger: LOGGER };

/** One event that is followed. */
interface FollowedEvent {
  stream: LastingStream<WatchChannelsResponse>;
  followers: number;
  speakers: Map<string, ActiveSpeaker>;
  isCurrent: boolean;
  /** Callbacks for the next time that `isCurrent` may be true. */
  waiting: Set<() => void>;
}

/**
 * Follows the speakers of events: which user holds the floor of which channel. It sees every change, also those made by
 * other routers, by routers that write Redis directly, by a pause or by the end of a lease.
 *
 * It keeps one stream for each followed event and opens it again when it ends. `speakerChanged` is emitted once for each
 * change, in order. After a reconnection it is emitted for each difference.
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

  /**
   * Follows an event. The returned function ends this; it may be called more than once. The stream closes when every caller
   * has ended following the event.
   */
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

  /** True while the stream of a followed event is open and its snapshot has arrived: `speakerOf` is up to date. */
  isCurrent(eventId: string): boolean {
    return this.#events.get(eventId)?.isCurrent ?? false;
  }

  /** Waits until `isCurrent` is true, at most for `timeoutMs`. Resolves with `isCurrent`. */
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

  /** Returns the speaker of a channel in a followed event; undefined if the floor is free or not known yet. */
  speakerOf(eventId: string, channelId: string): ActiveSpeaker | undefined {
    return this.#events.get(eventId)?.speakers.get(channelId);
  }

  /** Ends all streams. No event is emitted afterwards. Idempotent. */
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

  #receive(eventId: string, event: FollowedEvent, { payload }: WatchChannelsResponse): void {
    if (payload.case === "changed") {
      const { channelId, holder } = payload.value;
      this.#set(eventId, event, channelId, holder && speakerOf(holder));
    }
    if (payload.case === "snapshot") this.#replace(eventId, event, payload.value);
  }

  #replace(eventId: string, event: FollowedEvent, snapshot: SpeakersSnapshot): void {
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
