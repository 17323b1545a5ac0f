import { SquelchError } from "../../domain/errors.js";
import { type ActiveSpeaker, DEFAULT_TALK_TIME_MS, type FloorDenyCause } from "../../domain/floor.js";
import { parseId } from "../../domain/id.js";
import { BOOLEAN, checkOptions, LOGGER, type OptionRules, TEXT } from "../../domain/options.js";
import type { PublishedSpeaker } from "../../domain/ports/floorStore.js";
import type { Unsubscribe } from "../../domain/ports/unsubscribe.js";
import { createRedisEngine, type RedisEngine } from "../../engine/redis/engine.js";
import type { PlainLocks } from "../../engine/redis/stores/plainLocks.js";
import { createLogger, type Logger } from "../../lib/logger.js";
import { redisFromEnvironment } from "../config.js";

/** The actor in the log for changes that this class makes. */
const ACTOR = "channel-state-manager";

/** The state of one channel's floor, in the format that routers use. */
export interface ChannelState {
  channelId: string;
  /** The id of the speaker; null if the channel is free. */
  currentSpeaker: string | null;
  speakerName: string | null;
  isBusy: boolean;
  /** When the speaker took the floor, in ms since 1970; null if the channel is free. */
  lockTimestamp: number | null;
}

export type ChannelStateCallback = (state: ChannelState) => void;

export interface ChannelStateOptions {
  /**
   * The URL of Redis, in the format of `--redis-url`. Default: SQUELCH_REDIS_URL. SQUELCH_REDIS_LAYOUT must have the
   * same value as for the replicas.
   */
  redisUrl?: string;
  /**
   * True to deny the floor to users without membership also in an event that has no memberships at all. Default: false, so
   * that a fleet without memberships keeps working.
   */
  strict?: boolean;
  logger?: Logger;
}

const OPTION_RULES: OptionRules<ChannelStateOptions> = { redisUrl: TEXT, strict: BOOLEAN, logger: LOGGER };

/** The result of `startPtt`. */
export interface StartPttResult {
  success: boolean;
  /** The state after the attempt. */
  state: ChannelState;
  /** Why the floor was denied. */
  cause?: FloorDenyCause;
  /** The user who speaks, if the floor was denied and there is one. */
  holder?: Pick<ActiveSpeaker, "userId" | "userName" | "startedAtMs">;
}

interface Subscription {
  /** One entry for each call of subscribeToChannel, so a callback may occur more than once. */
  callbacks: ChannelStateCallback[];
  followed: Promise<Unsubscribe>;
}

/**
 * Provides speaker locks and the assignment of channels to events for a process that connects to Redis itself. Each
 * method rejects with a SquelchError: `unavailable` if Redis cannot be reached, `invalidArgument` for an invalid id. So an
 * empty answer always means that there are none. It works with and without replicas of the service.
 *
 * A channel that belongs to no event has a plain lock of 30 s as its floor, as in a fleet without the service. In the Cluster
 * layout it has none: there, calls for such a channel reject with `notFound`.
 *
 * @example
 * const channels = new ChannelStateManager();
 * await channels.initialize();
 * await channels.setChannelEvent("stage-left", "festival");
 */
export class ChannelStateManager {
  readonly #engine: RedisEngine;
  readonly #isStrict: boolean;
  readonly #subscriptions = new Map<string, Subscription>();

  /** @throws SquelchError `invalidArgument` if an option is missing, unknown or not valid */
  constructor(options: ChannelStateOptions = {}) {
    checkOptions("ChannelStateManager", options, OPTION_RULES);
    this.#isStrict = options.strict ?? false;
    const logger = options.logger ?? createLogger("ChannelState");
    const { redisUrl, redisLayout } = redisFromEnvironment(options.redisUrl);
    this.#engine = createRedisEngine({ url: redisUrl, layout: redisLayout, logger });
  }

  /**
   * Connects to Redis. Rejects with `unavailable` if Redis cannot be reached, and with `invalidArgument` if it was
   * reached but does not fit its URL. Attempts continue until `shutdown`.
   */
  async initialize(): Promise<void> {
    await this.#engine.start();
    await this.#engine.listEvents();
  }

  /** Closes all connections and ends all subscriptions. Idempotent. */
  async shutdown(): Promise<void> {
    this.#subscriptions.clear();
    await this.#engine.close();
  }

  /** Assigns a channel to an event. A channel of another event is moved, and its speaker loses the floor. */
  async setChannelEvent(channelId: string, eventId: string): Promise<void> {
    parseId("channelId", channelId);
    await this.#engine.setChannelEvent(channelId, parseId("eventId", eventId), ACTOR, false);
  }

  /** Returns the event that a channel belongs to; null if it belongs to none. */
  async getChannelEvent(channelId: string): Promise<string | null> {
    return (await this.#engine.getChannelEvent(parseId("channelId", channelId))) ?? null;
  }

  /** Lists the channels of an event, ascending. */
  async getChannelsForEvent(eventId: string): Promise<string[]> {
    return this.#engine.listEventChannels(parseId("eventId", eventId));
  }

  /** Returns the user who speaks on each busy channel of an event. */
  async getEventActiveSpeakers(eventId: string): Promise<Map<string, string>> {
    const { speakers } = await this.#engine.getActiveSpeakers(parseId("eventId", eventId));
    return new Map(speakers.map(({ channelId, userId }) => [channelId, userId]));
  }

  /** Takes every floor of an event away in one step, without a pause. Returns the channels that had a speaker. */
  async pauseAllSpeakers(eventId: string): Promise<string[]> {
    const { cut } = await this.#engine.pauseAllSpeakers({
      eventId: parseId("eventId", eventId),
      reason: "",
      actor: ACTOR,
      durationMs: 0,
      exemptUserIds: [],
      broadcaster: undefined,
      requestId: "",
    });
    return cut.map(({ channelId }) => channelId);
  }

  /**
   * Takes the floor for 30 s if membership, ban, pause and holder allow it. Memberships are checked only in an event that has
   * any, unless `strict` is set.
   */
  async startPtt(channelId: string, userId: string, userName: string): Promise<StartPttResult> {
    parseId("channelId", channelId);
    parseId("userId", userId);
    return this.#unlessUnowned(
      () => this.#startPtt(channelId, userId, userName),
      async (locks) => {
        const { granted, holder } = await locks.take(channelId, userId, userName);
        return granted ? toGrant(channelId, holder) : toDenial(channelId, "anotherHasPermission", holder);
      },
    );
  }

  async #startPtt(channelId: string, userId: string, userName: string): Promise<StartPttResult> {
    const outcome = await this.#engine.startPtt({
      channelId,
      userId,
      userName,
      sessionId: "",
      priority: "normal",
      talkTimeMs: DEFAULT_TALK_TIME_MS,
      leaseTimeMs: DEFAULT_TALK_TIME_MS,
      admitsAllWithoutMembers: !this.#isStrict,
      actor: ACTOR,
    });
    if (outcome.granted) return toGrant(channelId, outcome.speaker);
    // A request that does not wait gets no place in a queue.
    return toDenial(channelId, outcome.place ? "anotherHasPermission" : outcome.cause, outcome.holder);
  }

  /** Releases the floor if the user holds it; otherwise changes nothing. Returns the state after the attempt. */
  async stopPtt(channelId: string, userId: string): Promise<ChannelState> {
    parseId("channelId", channelId);
    parseId("userId", userId);
    try {
      await this.#unlessUnowned(
        () => this.#engine.stopPtt(channelId, { userId, sessionId: "" }),
        (locks) => locks.release(channelId, userId),
      );
    } catch (error) {
      const isOther = error instanceof SquelchError && error.code === "failedPrecondition";
      if (!isOther) throw error;
    }
    return this.getChannelState(channelId);
  }

  async getChannelState(channelId: string): Promise<ChannelState> {
    parseId("channelId", channelId);
    const holder = await this.#unlessUnowned(
      async () => (await this.#engine.getChannelState(channelId)).holder,
      (locks) => locks.read(channelId),
    );
    return toChannelState(channelId, holder);
  }

  // Calls `unowned` instead if no event owns the channel.
  async #unlessUnowned<T>(owned: () => Promise<T>, unowned: (locks: PlainLocks) => Promise<T>): Promise<T> {
    const { locks } = this.#engine;
    try {
      return await owned();
    } catch (error) {
      const isUnowned = error instanceof SquelchError && error.code === "notFound";
      if (!isUnowned || locks === undefined) throw error;
      return unowned(locks);
    }
  }

  /**
   * Calls back once for each published change of the channel's speaker, made by any router. A callback that is
   * given more than once is still called once per change.
   */
  async subscribeToChannel(channelId: string, callback: ChannelStateCallback): Promise<void> {
    const subscription = this.#subscriptions.get(channelId) ?? this.#follow(channelId);
    subscription.callbacks.push(callback);
    try {
      await subscription.followed;
    } catch (error) {
      this.#subscriptions.delete(channelId);
      throw error;
    }
  }

  /** Reverts the newest call of `subscribeToChannel`. The channel is unsubscribed with its last callback. */
  async unsubscribeFromChannel(channelId: string): Promise<void> {
    const subscription = this.#subscriptions.get(channelId);
    subscription?.callbacks.pop();
    if (subscription === undefined || subscription.callbacks.length > 0) return;
    this.#subscriptions.delete(channelId);
    const unfollow = await subscription.followed;
    unfollow();
  }

  #follow(channelId: string): Subscription {
    const callbacks: ChannelStateCallback[] = [];
    const followed = this.#engine.followChannel(channelId, (holder) => {
      for (const callback of new Set(callbacks)) callback(toChannelState(channelId, holder));
    });
    const subscription = { callbacks, followed };
    this.#subscriptions.set(channelId, subscription);
    return subscription;
  }
}

function toGrant(channelId: string, holder: PublishedSpeaker | undefined): StartPttResult {
  return { success: true, state: toChannelState(channelId, holder) };
}

function toDenial(channelId: string, cause: FloorDenyCause, speaker: PublishedSpeaker | undefined): StartPttResult {
  const state = toChannelState(channelId, speaker);
  if (speaker === undefined) return { success: false, state, cause };
  const { userId, userName, startedAtMs } = speaker;
  return { success: false, state, cause, holder: { userId, userName, startedAtMs } };
}

function toChannelState(channelId: string, holder: PublishedSpeaker | undefined): ChannelState {
  return {
    channelId,
    currentSpeaker: holder?.userId ?? null,
    speakerName: holder?.userName ?? null,
    isBusy: holder !== undefined,
    lockTimestamp: holder?.startedAtMs ?? null,
  };
}
