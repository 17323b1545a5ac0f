import type { EventRouters, RouterNews } from "./applied.js";
import type { AuditEntry, AuditQuery, AuditRecord } from "./audit.js";
import type { UserBan } from "./ban.js";
import type { LogEntry } from "./change.js";
import type { Cursor, LogPosition, Position } from "./cursor.js";
import type { MembershipLimit } from "./errors.js";
import type { ReplicaReport, Replicas } from "./fleet.js";
import type {
  ActiveSpeaker,
  Broadcaster,
  FloorDenyCause,
  FloorPriority,
  SpeakerPause,
  WaitingSpeaker,
} from "./floor.js";
import type { Membership } from "./membership.js";

/**
 * What an engine does. Every promise rejects with a SquelchError: `unavailable` if the store cannot be reached or did
 * not answer within 2 s (then the outcome of a write is unknown), never with an empty result in its place. Arguments
 * are valid: ids are ids, channel ids are ascending and without duplicates.
 */
export interface Engine
  extends LogStore,
    MembershipStore,
    ChannelIndex,
    FloorStore,
    BanStore,
    AppliedStore,
    FleetStore,
    AuditStore {
  /** Connects. Resolves whether or not the store could be reached; attempts go on until `close`. */
  start(): Promise<void>;
  /** Lets go of everything. Idempotent. */
  close(): Promise<void>;
  /** Whether routers may write floors to the store without asking; if so, some changes are told by hints or not at all. */
  readonly hasLegacyRouters: boolean;
  /** Whether changes arrive. */
  feedHealth(): FeedHealth;
  /** Calls back each time the followed channels were interrupted and stand again, so that entries may be missing. */
  onFeedRestored(listener: () => void): Unsubscribe;
  /** Calls back with the event of each pause that is made, as long as the followed channels are not interrupted. */
  onPause(listener: (eventId: string) => void): Unsubscribe;
}

export type Unsubscribe = () => void;

export interface FeedHealth {
  /** True while the store can be reached and a probe has lately come back through the subscription. */
  healthy: boolean;
  /** Time since the last probe came back; undefined if none ever did. */
  ageMs?: number | undefined;
}

/** The full picture of one event at one revision. */
export interface EventState extends LogPosition {
  /** When the newest entry was made; undefined if there is none, or the engine does not keep it. */
  newestTimeMs?: number | undefined;
  members: Membership[];
  pause?: SpeakerPause | undefined;
}

export interface LogStore {
  /** Every event that was ever written or watched. */
  listEvents(): Promise<string[]>;
  /** Calls back once for each event that is new to the store. Resolves when it is certain to miss none. */
  followEvents(listener: (eventId: string) => void): Promise<Unsubscribe>;
  /** The picture of an event, in one step; gives an event that nobody has written an epoch and revision 0. */
  loadEvent(eventId: string): Promise<EventState>;
  /** Where the log of an event ends; undefined for an event without an epoch. */
  readPosition(eventId: string): Promise<LogPosition | undefined>;
  /**
   * The entries after a revision, ascending and contiguous, at most `limit` of them; empty at the end of the log.
   * Undefined if the log does not reach back that far, ends before it, or is of another epoch.
   */
  readLog(eventId: string, after: LogPosition, limit: number): Promise<LogEntry[] | undefined>;
  /**
   * The newest entries up to a revision, that one included, ascending and contiguous, at most `limit` of them; fewer where
   * the log begins later, none where it does not have the revision. Undefined if the log is of another epoch.
   */
  readLogBack(eventId: string, last: LogPosition, limit: number): Promise<LogEntry[] | undefined>;
  /**
   * Begins a new epoch if the store has gone back behind what was delivered: it is in that epoch, and ends before that
   * revision or has an entry of another time there. Otherwise changes nothing.
   *
   * @param delivered the newest change that was delivered; `timeMs` of its entry, if that is known
   */
  renewEpoch(eventId: string, delivered: LogPosition & { timeMs?: number | undefined }): Promise<void>;
  /**
   * Calls back for each entry as it is appended, of a sync at least for the newest. Resolves when it is certain to miss
   * none; one from just before may come too. Order is not promised.
   */
  follow(eventId: string, listener: (entry: LogEntry) => void): Promise<Unsubscribe>;
}

/** A full list of one user's channels in one event, at its place in the order of writes. */
export interface MembershipUpdate {
  userId: string;
  channelIds: string[];
  action: string;
  actor: string;
  position: Position;
  /** True if it was concluded from the control plane's keys: it yields to what was written over RPC. */
  isReconciled?: boolean;
}

export interface MembershipOutcome {
  /**
   * `changed`: a new revision; `unchanged`: no difference, the position was raised; `stale`: a write at the same or a
   * later position was there before, nothing was touched.
   */
  status: "changed" | "unchanged" | "stale";
  /** The revision of the user's newest change, 0 if there was none. */
  revision: number;
  added: string[];
  removed: string[];
  /** Channels that belong to another event and were left out. */
  foreignChannelIds: string[];
  /**
   * Set if a limit kept something out. `users_per_event`: the user was new, and nothing was written. `channels_per_user`:
   * of the list, which was too long, only those channels count that the user had before.
   */
  overLimit?: MembershipLimit | undefined;
}

export interface SetUserChannelsWrite {
  eventId: string;
  userId: string;
  channelIds: string[];
  action: string;
  actor: string;
  onlyIfUnknown: boolean;
}

export interface SetUserChannelsOutcome {
  revision: number;
  added: string[];
  removed: string[];
  superseded: boolean;
}

/** All channels that a user shall have. */
export interface UserChannels {
  userId: string;
  channelIds: string[];
}

/** The memberships of a whole event, nobody twice. */
export interface MemberSync {
  eventId: string;
  users: readonly UserChannels[];
  actor: string;
}

export interface MemberSyncOutcome {
  /** Of the event, after the last change. */
  revision: number;
  /** How many users changed. */
  changedUsers: number;
  /** How many of those lost all channels because they were not named. */
  revokedUsers: number;
}

/** One user's channels. */
export interface UserPermissions {
  channelIds: string[];
  /** Where in the log they are true; undefined for an event that nobody has written or watched. */
  position?: LogPosition | undefined;
  known: boolean;
  pause?: SpeakerPause | undefined;
  /** The user's, if one holds in the event. */
  ban?: UserBan | undefined;
}

export interface MembershipStore {
  /**
   * Applies updates of one event in their order, in one step; one outcome for each. No limit keeps channels from being
   * taken away.
   */
  applyMemberships(eventId: string, updates: readonly MembershipUpdate[]): Promise<MembershipOutcome[]>;
  /**
   * Writes at a ticket of its own. Rejects with `failedPrecondition` if a channel belongs to another event,
   * `resourceExhausted` if a limit is in the way: the user is new to a full event, or gains channels by a list that is too
   * long. Then nothing was written.
   */
  setUserChannels(write: SetUserChannelsWrite): Promise<SetUserChannelsOutcome>;
  /**
   * Replaces the memberships of a whole event in one step, at a ticket of its own: users who are not named lose all
   * channels, and nothing published before the ticket applies any more, for whomever. Rejects with `failedPrecondition`
   * if a channel belongs to another event, `resourceExhausted` if a user has too many channels or the event would have too
   * many users; then nothing was written.
   */
  syncMembers(sync: MemberSync): Promise<MemberSyncOutcome>;
  readUserPermissions(eventId: string, userId: string): Promise<UserPermissions>;
}

export interface ChannelIndex {
  /**
   * Associates a channel with an event in the name of `actor`, moving it if it belonged to another. Returns the event it belonged to before.
   * With `onlyIfUnassigned` a channel of another event rejects with `failedPrecondition`.
   */
  setChannelEvent(
    channelId: string,
    eventId: string,
    actor: string,
    onlyIfUnassigned: boolean,
  ): Promise<string | undefined>;
  /** The event that a channel belongs to. */
  getChannelEvent(channelId: string): Promise<string | undefined>;
  /** Ascending. */
  listEventChannels(eventId: string): Promise<string[]>;
}

export interface StartPttRequest {
  channelId: string;
  userId: string;
  userName: string;
  /** Empty if the caller does not tell its devices apart. */
  sessionId: string;
  priority: FloorPriority;
  /** The longest that the floor can be held, however often the lease is renewed. */
  talkTimeMs: number;
  /** How long the lease lasts without a renewal. */
  leaseTimeMs: number;
  /** Whether the channel need not be among the user's own. Default: it must. */
  ignoresMembership?: boolean;
  actor: string;
  /**
   * Where another holds the floor: how long to wait for it until heard of again, and how many may wait on the channel, at
   * least 1. Undefined: not at all. A repeat of the same session keeps its place and begins the time anew.
   */
  queue?: { waitMs: number; limit: number } | undefined;
}

/** A place among those who wait for the floor of a channel. */
export interface QueuePlace {
  /** Names the request, until its end: lower for an older one of the event. */
  queueId: number;
  /** 1 is next. */
  position: number;
  /** How many wait, this one included. */
  waiting: number;
  /** When the wait ends if nothing is heard before, ms since 1970. */
  expiresAtMs: number;
}

export type StartPttOutcome =
  | {
      granted: true;
      /** Of the channel. */
      eventId: string;
      leaseId: number;
      speaker: ActiveSpeaker;
      /** No renewal goes beyond. */
      talkUntilMs: number;
    }
  | { granted: false /** Of the channel. */; eventId: string; place: QueuePlace; holder: ActiveSpeaker }
  | {
      granted: false;
      place?: undefined;
      cause: FloorDenyCause;
      holder?: ActiveSpeaker | undefined;
      pause?: SpeakerPause | undefined;
      /** Where that is why. */
      ban?: UserBan | undefined;
    };

/** Who gives the floor back: the lease, or the user with the session under which it was taken or is waited for. */
export type PttHolder = { leaseId: number } | { userId: string; sessionId: string };

export interface ChannelState {
  eventId: string;
  holder?: ActiveSpeaker | undefined;
}

/** Who speaks on a channel from now on. */
export interface FloorChange {
  channelId: string;
  /** Undefined if nobody does. */
  holder?: ActiveSpeaker | undefined;
  /** True if the floor is held under a lease that ends by itself: `endLeases` then announces it. */
  hasLease: boolean;
  /** When `endLeases` is to look at those who wait, by the store's clock; set where somebody waits from now on. */
  lookAtMs?: number | undefined;
}

/** Changes of who speaks in one event, as the store tells them. */
export interface FloorNews {
  epoch: string;
  /** Contiguous as long as nothing is missed. */
  version: number;
  /** By the store's clock. */
  timeMs: number;
  changes: FloorChange[];
}

/** Who speaks in an event, at one instant. */
export interface FloorPicture {
  /** With `version` the newest FloorNews that is contained in it; empty for an event without an epoch. */
  epoch: string;
  version: number;
  /** By the store's clock. */
  timeMs: number;
  /** By channel id ascending. */
  speakers: ActiveSpeaker[];
}

/** A channel to look at again in `remainingMs`: its lease ends then if nothing renews it, or somebody's time to wait. */
export interface DueLook {
  channelId: string;
  remainingMs: number;
}

/** What the published state of a channel says of its speaker. */
export type PublishedSpeaker = Pick<ActiveSpeaker, "userId" | "userName" | "startedAtMs">;

export interface PauseRequest {
  eventId: string;
  reason: string;
  actor: string;
  /** 0 cuts without a latch. */
  durationMs: number;
  exemptUserIds: string[];
  broadcaster?: Broadcaster | undefined;
  /** Empty if a repeat is a new pause. */
  requestId: string;
  /** The standing pause to take the place of. Default: one with the same broadcaster. */
  replacePauseId?: string | undefined;
}

export interface PauseOutcome {
  pause: SpeakerPause;
  cut: ActiveSpeaker[];
  /** The pause that stood until now, if this one has taken its place. */
  replacedPauseId?: string | undefined;
  revision: number;
  /** True if a replica of the store has acknowledged it. */
  replicated: boolean;
}

/**
 * The floors of channels, each held under a lease that ends by itself. Each grant is followed by one end: it is given
 * back, or cut by a pause and listed there, or told as `floorRevoked` with its cause. An end that came by itself is
 * announced by the next step that looks at the channel, so before the next grant, or that loads the event, or by
 * `endLeases`.
 *
 * Whoever waits for a floor has it in the step that ends the one before, under a lease of at most 3 s, told as
 * `floorRequestGranted`. Each place in a queue has one end: this one, or `floorRequestDenied`, or a pause, or an answer of
 * `startPtt` or `stopPtt` to the same session. While an event is paused nobody waits.
 */
export interface FloorStore {
  /** Rejects with `notFound` for a channel of no event. */
  startPtt(request: StartPttRequest): Promise<StartPttOutcome>;
  /**
   * Extends a lease by its lease time from now, at most to the end of its talk time; returns when it ends. Rejects with
   * `failedPrecondition` if it is not the current one, and then touches nothing; `notFound` for a channel of no event.
   */
  renewPtt(channelId: string, leaseId: number): Promise<number>;
  /**
   * Gives the floor back, or the place in its queue. Rejects with `failedPrecondition` if the caller has neither, `notFound`
   * for a channel of no event.
   */
  stopPtt(channelId: string, holder: PttHolder): Promise<void>;
  /** Rejects with `notFound` for a channel of no event. */
  getChannelState(channelId: string): Promise<ChannelState>;
  /** Every floor that is held, by channel id ascending, who waits for one, if anybody does, and the standing pause. */
  getActiveSpeakers(eventId: string): Promise<{
    speakers: ActiveSpeaker[];
    /** By channel id, then by position. */
    waiting?: WaitingSpeaker[] | undefined;
    pause?: SpeakerPause | undefined;
  }>;
  /** Who speaks on these channels of the event, or on all. */
  readFloors(eventId: string, channelIds?: readonly string[]): Promise<FloorPicture>;
  /** Rejects with `failedPrecondition`, naming it, if another pause stands that this one may not take the place of. */
  pauseAllSpeakers(request: PauseRequest): Promise<PauseOutcome>;
  /** Returns the revision. Rejects with `failedPrecondition` if that pause does not stand. */
  resumeSpeakers(eventId: string, pauseId: string, actor: string): Promise<number>;
  /**
   * While the event is paused: takes the floors that have become free since, also of channels that others have added, and
   * cuts those who got past the latch without asking the store; it may leave that out if it was done in the 110 ms
   * before. Announces the end of a pause that has run out. Returns whether a pause stands.
   */
  upholdPause(eventId: string): Promise<boolean>;
  /** The events in which a pause stands, or has run out and its end has not been announced to all. */
  listPausedEvents(): Promise<string[]>;
  /**
   * Announces the ends of leases that have run out, and of waits, on these channels or on all of the event. Returns when
   * to look again: a channel may be named twice.
   */
  endLeases(eventId: string, channelIds?: readonly string[]): Promise<DueLook[]>;
  /**
   * Calls back with each change of who speaks in an event, except those that others make without asking the store; a
   * renewal is none. Resolves when it is certain to miss none.
   */
  followFloor(eventId: string, listener: (news: FloorNews) => void): Promise<Unsubscribe>;
  /** Calls back after each change of a channel's speaker that is published, by whomever, with what is published. */
  followChannel(channelId: string, listener: (holder: PublishedSpeaker | undefined) => void): Promise<Unsubscribe>;
}

/** A write that waits for the store's replicas. */
export interface ConfirmedOutcome {
  /** Of the last change that tells of it. */
  revision: number;
  /** True if a replica of the store has acknowledged it. */
  replicated: boolean;
}

export interface DisconnectRequest {
  eventId: string;
  userId: string;
  reason: string;
  actor: string;
}

export interface BanRequest extends DisconnectRequest {
  /** Undefined: until it is lifted. */
  durationMs: number | undefined;
}

/**
 * Users who are put out of an event. A disconnection takes the user's floors, each told as `floorRevoked` (that of a
 * pause's broadcaster as `speakersPaused`, without a broadcaster), and then is a change itself, all in one step.
 */
export interface BanStore {
  /** Where a ban holds: in every event of the fleet, or in the one event that it was made in. */
  readonly banScope: "fleet" | "event";
  /** Whoever it is: a user of whom nothing is known is no error. */
  disconnectUser(request: DisconnectRequest): Promise<ConfirmedOutcome>;
  /** Bans a user, in place of a ban that may stand, and disconnects the user in the event, in one step. */
  banUser(request: BanRequest): Promise<ConfirmedOutcome & { ban: UserBan }>;
  /** Returns the revision. Rejects with `failedPrecondition` if no ban of the user stands. */
  unbanUser(eventId: string, userId: string, actor: string): Promise<number>;
  /** The bans that hold in an event, those that end first first. */
  listBans(eventId: string): Promise<UserBan[]>;
  /**
   * Tells the log of the event what it does not know yet: bans that have ended, and those that were not made in this
   * event, of users who have an entry in it; these are disconnected. Returns how long it is until the next end of one of
   * which the log has told; undefined if none has an end.
   */
  settleBans(eventId: string): Promise<number | undefined>;
  /**
   * Calls back when bans that hold in an event have changed, except those that others write without asking the store.
   * Resolves when it is certain to miss none.
   */
  followBans(eventId: string, listener: () => void): Promise<Unsubscribe>;
}

/** The trail of who did what. It keeps a bounded number of entries, the oldest go first. */
export interface AuditStore {
  /** In their order, at least one. */
  appendAudit(records: readonly AuditRecord[]): Promise<void>;
  listAudit(query: AuditQuery): Promise<AuditEntry[]>;
}

/** Which replicas there are. What is said here lasts for 15 s. */
export interface FleetStore {
  noteReplica(report: ReplicaReport): Promise<void>;
  /** A replica leaves; one that is not known is none the less gone. */
  forgetReplica(replicaId: string): Promise<void>;
  /** Those of whom something was heard lately, in any order. */
  readReplicas(): Promise<Replicas>;
}

/** Which routers have the changes of an event in force. What is said here lasts for a minute. */
export interface AppliedStore {
  /** A router watches these events: it is waited for from now on. */
  holdRouter(routerId: string, eventIds: readonly string[]): Promise<void>;
  /**
   * A router has acted on everything up to these positions. One that is behind what is known, ahead of the log, or of
   * another epoch than the present one is no more than a sign of life; one of an event without an epoch is nothing.
   */
  reportApplied(routerId: string, cursors: readonly Cursor[]): Promise<void>;
  /** A router has given up these events. */
  releaseRouter(routerId: string, eventIds: readonly string[]): Promise<void>;
  readRouters(eventId: string): Promise<EventRouters>;
  /** Calls back for all news but signs of life. Resolves when it is certain to miss none. */
  followRouters(eventId: string, listener: (news: RouterNews) => void): Promise<Unsubscribe>;
}
