import type { UserBan } from "../ban.js";
import type {
  ActiveSpeaker,
  Broadcaster,
  FloorDenyCause,
  FloorPriority,
  SpeakerPause,
  WaitingSpeaker,
} from "../floor.js";
import type { Unsubscribe } from "./unsubscribe.js";
import type { WriteOutcome } from "./writeOutcome.js";

export interface StartPttRequest {
  channelId: string;
  userId: string;
  userName: string;
  /** Distinguishes the user's devices. Empty if the caller does not distinguish them. */
  sessionId: string;
  priority: FloorPriority;
  /** The longest time for which the floor can be held, even if the lease is renewed. */
  talkTimeMs: number;
  /** How long the lease lasts without a renewal. */
  leaseTimeMs: number;
  /** True to grant the floor also to a user who is not a member of the channel. Default: false. */
  ignoresMembership?: boolean;
  /** True to grant the floor to any user while the event has no memberships at all. Default: false. */
  admitsAllWithoutMembers?: boolean;
  actor: string;
  /**
   * How to wait if another user holds the floor: at most `waitMs` unless the request is repeated, with at most `limit`
   * (1 or more) requests waiting on the channel. A repeat by the same session keeps its place and restarts the time.
   * Undefined: do not wait.
   */
  queue?: { waitMs: number; limit: number } | undefined;
}

/** The place of a request that waits for the floor of a channel. */
export interface QueuePlace {
  /** Identifies the request until it ends. Of two requests of an event the older has the lower id. */
  queueId: number;
  /** 1 is the next to be served. */
  position: number;
  /** How many requests wait on the channel, this one included. */
  waiting: number;
  /** When the request stops waiting unless it is repeated, ms since 1970. */
  expiresAtMs: number;
}

export type StartPttOutcome =
  | {
      granted: true;
      /** The event that owns the channel. */
      eventId: string;
      leaseId: number;
      speaker: ActiveSpeaker;
      /** The latest expiry that renewals can reach, ms since 1970. */
      talkUntilMs: number;
    }
  | {
      granted: false;
      /** The event that owns the channel. */
      eventId: string;
      place: QueuePlace;
      holder: ActiveSpeaker;
    }
  | {
      granted: false;
      place?: undefined;
      cause: FloorDenyCause;
      holder?: ActiveSpeaker | undefined;
      pause?: SpeakerPause | undefined;
      /** The user's ban, if it is the reason. */
      ban?: UserBan | undefined;
    };

/**
 * Identifies a held floor or a waiting request to release: by the lease, or by the user and the session that asked for
 * the floor.
 */
export type PttHolder = { leaseId: number } | { userId: string; sessionId: string };

/** The event that owns a channel, and the holder of its floor. */
export interface ChannelFloor {
  eventId: string;
  holder?: ActiveSpeaker | undefined;
}

/** A change of the speaker of a channel. */
export interface FloorChange {
  channelId: string;
  /** The new speaker; undefined if the floor is free. */
  holder?: ActiveSpeaker | undefined;
  /** True if the floor is held under a lease that can expire. `endLeases` then announces the expiry. */
  hasLease: boolean;
  /** Set when a request starts to wait: when to call `endLeases` for it, ms since 1970 by the store's clock. */
  lookAtMs?: number | undefined;
}

/** Published changes of speakers in one event. */
export interface FloorNews {
  epoch: string;
  /** One higher than the version of the previous message. A gap shows that messages were missed. */
  version: number;
  /** When the store made the changes, ms since 1970 by the store's clock. */
  timeMs: number;
  changes: FloorChange[];
}

/** The speakers of an event at one instant. */
export interface FloorPicture {
  /** The epoch of the newest FloorNews that the picture includes; empty for an event without an epoch. */
  epoch: string;
  /** The version of that news. */
  version: number;
  /** When the picture was read, ms since 1970 by the store's clock. */
  timeMs: number;
  /** Ascending by channel id. */
  speakers: ActiveSpeaker[];
}

/** A channel to pass to `endLeases` again in `remainingMs`, when its lease or a waiting request is due to expire. */
export interface DueLook {
  channelId: string;
  remainingMs: number;
}

/** The part of a speaker that the published state of a channel contains. */
export type PublishedSpeaker = Pick<ActiveSpeaker, "userId" | "userName" | "startedAtMs">;

export interface PauseRequest {
  eventId: string;
  reason: string;
  actor: string;
  /** How long the latch lasts. 0 cuts the speakers without a latch. */
  durationMs: number;
  exemptUserIds: string[];
  broadcaster?: Broadcaster | undefined;
  /**
   * Makes a repeat by the same caller with the same content return the first outcome, for an hour. Empty: each request makes
   * a new pause.
   */
  requestId: string;
  /** The standing pause to replace. By default only a pause with the same broadcaster is replaced. */
  replacePauseId?: string | undefined;
}

export interface PauseOutcome extends WriteOutcome {
  pause: SpeakerPause;
  cut: ActiveSpeaker[];
  /** The standing pause that this one replaced. */
  replacedPauseId?: string | undefined;
}

/**
 * The floors of channels, each held under a lease that can expire. Every grant has exactly one end: a release, a cut
 * that the pause lists, or a `floorRevoked` change with its cause. The store announces an expiry in the next step that
 * reads the channel (so before the next grant), when the event is loaded, or in `endLeases`.
 *
 * The step that ends a lease gives the floor to the next waiting request, under a lease of at most 3 s, and announces it
 * as `floorRequestGranted`. Every waiting request has exactly one end: that grant, a `floorRequestDenied` change, a pause,
 * or an answer of `startPtt` or `stopPtt` to the same session. While an event is paused no request waits.
 */
export interface FloorStore {
  /** Grants or denies the floor. Rejects with `notFound` if no event owns the channel. */
  startPtt(request: StartPttRequest): Promise<StartPttOutcome>;
  /**
   * Extends a lease by its lease time from now, at most to the end of its talk time. Returns the new expiry, ms since
   * 1970. Rejects with `failedPrecondition`, and changes nothing, if it is not the current lease; with `notFound` if no
   * event owns the channel.
   *
   * If the holder may no longer speak (banned, held back by the standing pause, or not a member of the channel), takes the
   * floor away with cause `noPermission` and rejects with `failedPrecondition`. The leases of a broadcaster stay.
   *
   * @param ignoresMembership true to renew also the lease of a user who is not a member of the channel. Default: false
   */
  renewPtt(channelId: string, leaseId: number, ignoresMembership?: boolean): Promise<number>;
  /**
   * Releases the floor or gives up a waiting request. Rejects with `failedPrecondition` if the caller has neither; with
   * `notFound` if no event owns the channel.
   */
  stopPtt(channelId: string, holder: PttHolder): Promise<void>;
  /** Rejects with `notFound` if no event owns the channel. */
  getChannelState(channelId: string): Promise<ChannelFloor>;
  /** Returns every held floor of the event, ascending by channel id, the waiting requests and the standing pause. */
  getActiveSpeakers(eventId: string): Promise<{
    speakers: ActiveSpeaker[];
    /** Ascending by channel id, then by position. Undefined if no request waits. */
    waiting?: WaitingSpeaker[] | undefined;
    pause?: SpeakerPause | undefined;
  }>;
  /** Returns the speakers on these channels of the event; on all of its channels by default. */
  readFloors(eventId: string, channelIds?: readonly string[]): Promise<FloorPicture>;
  /**
   * Pauses an event. Rejects with `failedPrecondition` if another pause stands that this one may not replace, and with
   * `invalidArgument` if another caller or a request with other content has used the request id. A rejected request changes
   * nothing.
   */
  pauseAllSpeakers(request: PauseRequest): Promise<PauseOutcome>;
  /** Ends a pause. Rejects with `failedPrecondition` if that pause does not stand. */
  resumeSpeakers(eventId: string, pauseId: string, actor: string): Promise<WriteOutcome>;
  /**
   * Upholds a standing pause: takes floors that have become free, including those of new channels, and cuts speakers
   * who took a floor without a call. It may skip that if it was done within the last 110 ms. Announces the end of an
   * expired pause. Returns whether a pause stands.
   */
  upholdPause(eventId: string): Promise<boolean>;
  /** Returns the events in which a pause stands or has an end that is not yet announced to all. */
  listPausedEvents(): Promise<string[]>;
  /**
   * Announces expired leases and expired waiting requests on these channels; on all channels of the event by default.
   * Returns when to check again. The list may name a channel twice.
   */
  endLeases(eventId: string, channelIds?: readonly string[]): Promise<DueLook[]>;
  /**
   * Calls back with each change of speakers in an event, but not for renewals, nor for changes made by programs that write
   * the store directly. Once it resolves, no change is missed.
   */
  followFloor(eventId: string, listener: (news: FloorNews) => void): Promise<Unsubscribe>;
  /** Calls back with each published speaker of a channel, from any program. */
  followChannel(channelId: string, listener: (holder: PublishedSpeaker | undefined) => void): Promise<Unsubscribe>;
}
