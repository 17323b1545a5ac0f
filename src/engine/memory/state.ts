import type { RouterNews, RouterProgress } from "../../domain/applied.js";
import type { UserBan } from "../../domain/ban.js";
import type { ChangeKind, LogEntry } from "../../domain/change.js";
import type { Position } from "../../domain/cursor.js";
import { SquelchError } from "../../domain/errors.js";
import type { EventLimits } from "../../domain/eventLimits.js";
import type { KnownReplica } from "../../domain/fleet.js";
import type { ActiveSpeaker, FloorRevokeCause, SpeakerPause } from "../../domain/floor.js";
import type { FloorNews, PauseOutcome, StartPttRequest } from "../../domain/ports.js";
import type { Logger } from "../../lib/logger.js";
import { EventLog } from "./eventLog.js";
import { type QueuedRequest, serveQueue } from "./floorQueue.js";
import { Listeners } from "./listeners.js";

/** What is known of one user in one event. Stays when the last channel is revoked. */
export interface Member {
  channelIds: string[];
  /** Of the user's newest change, 0 if there was none. */
  revision: number;
  /** Of the user's newest write. */
  position: Position;
}

/** The right of one user to speak on one channel. */
export interface Lease {
  leaseId: number;
  sessionId: string;
  speaker: ActiveSpeaker;
  /** What a renewal adds. */
  leaseTimeMs: number;
  /** No renewal goes beyond. */
  talkUntilMs: number;
  /** True for a lease of a pause's broadcaster, which ends with the pause. */
  isBroadcast: boolean;
}

/** The whole of one event. */
export class EventRecord {
  readonly log: EventLog;
  readonly members = new Map<string, Member>();
  readonly channelIds = new Set<string>();
  /** By channel; those past their expiry stay until their end is announced. */
  readonly leases = new Map<string, Lease>();
  /** When users were last disconnected by force. */
  readonly disconnectedAtMs = new Map<string, number>();
  /** By user, the bans of which the log has told, and whose end it has not. */
  readonly bans = new Map<string, UserBan>();
  /** By channel: who waits for its floor, next first. No entry where nobody does. */
  readonly queues = new Map<string, QueuedRequest[]>();
  /** Outcomes of pauses by their request id. */
  readonly pauseRequests = new Map<string, PauseOutcome>();
  /** The position of the newest sync, if there was one: nothing at or below it applies. */
  positionFloor: Position | undefined;
  /** By router id; those of whom nothing was heard for too long may still be there. */
  readonly routers = new Map<string, RouterProgress>();
  /** The pause whose end has not been announced; it may have run out. */
  pause: SpeakerPause | undefined;
  lastLeaseId = 0;
  /** Number of the newest FloorNews. */
  floorVersion = 0;

  constructor(
    readonly eventId: string,
    logLength: number,
  ) {
    this.log = new EventLog(logLength);
  }
}

/** All events of the process. Every method is one step: nothing in it waits. */
export class MemoryState {
  readonly events = new Map<string, EventRecord>();
  readonly eventOfChannel = new Map<string, string>();
  /** Of the whole fleet, by user; those that have ended may still be there. */
  readonly bans = new Map<string, UserBan>();
  /** By replica id; those of whom nothing was heard for too long may still be there. */
  readonly replicas = new Map<string, KnownReplica>();
  /** By event id. */
  readonly entryListeners: Listeners<LogEntry>;
  /** Under one key, the empty string. */
  readonly eventListeners: Listeners<string>;
  /** By channel id. */
  readonly speakerListeners: Listeners<ActiveSpeaker | undefined>;
  /** By event id. */
  readonly routerListeners: Listeners<RouterNews>;
  /** By event id. */
  readonly floorListeners: Listeners<FloorNews>;
  /** Under one key, the empty string. */
  readonly pauseListeners: Listeners<string>;
  /** Under one key, the empty string. */
  readonly banListeners: Listeners<undefined>;
  #generation = 0;

  /** @param now ms since 1970 */
  constructor(
    readonly now: () => number,
    logger: Logger,
    readonly limits: EventLimits,
  ) {
    this.entryListeners = new Listeners(logger);
    this.eventListeners = new Listeners(logger);
    this.speakerListeners = new Listeners(logger);
    this.routerListeners = new Listeners(logger);
    this.floorListeners = new Listeners(logger);
    this.pauseListeners = new Listeners(logger);
    this.banListeners = new Listeners(logger);
  }

  /** A new place in the order of writes, later than all before, of that generation at least. */
  takeTicket(atLeast: number): Position {
    this.#generation = Math.max(this.#generation + 1, this.now(), atLeast);
    return { generation: this.#generation, count: 0 };
  }

  /** The event to write to, made if it is new. The end of a pause that has run out is announced first. */
  open(eventId: string): EventRecord {
    const known = this.events.get(eventId);
    if (known !== undefined) {
      if (known.pause !== undefined && this.standingPause(known) === undefined) this.endPause(known, "", true);
      return known;
    }
    const event = new EventRecord(eventId, this.limits.logLength);
    this.events.set(eventId, event);
    this.eventListeners.emit("", eventId);
    return event;
  }

  /** Returns the event that a channel belongs to. Throws `notFound` if to none. */
  eventOf(channelId: string): EventRecord {
    const event = this.events.get(this.eventOfChannel.get(channelId) ?? "");
    if (event !== undefined) return event;
    throw new SquelchError(
      "notFound",
      `channel_id: "${channelId}" belongs to no event; associate it with SetChannelEvent`,
    );
  }

  /** Appends to the event's log and returns the revision. */
  append(event: EventRecord, actor: string, change: ChangeKind): number {
    const entry = event.log.append(this.now(), actor, change);
    this.entryListeners.emit(event.eventId, entry);
    return entry.revision;
  }

  /** Adds a channel that belongs to no event; a standing pause gives its floor to the broadcaster. */
  addChannel(event: EventRecord, channelId: string): void {
    this.eventOfChannel.set(channelId, event.eventId);
    event.channelIds.add(channelId);
    const pause = this.standingPause(event);
    if (pause !== undefined) this.giveToBroadcaster(event, pause, channelId);
  }

  /** True if the channel is among the channels of the user who asks for its floor, or need not be. */
  isAdmitted(
    event: EventRecord,
    { userId, channelId, ignoresMembership }: Pick<StartPttRequest, "userId" | "channelId" | "ignoresMembership">,
  ): boolean {
    return ignoresMembership || (event.members.get(userId)?.channelIds.includes(channelId) ?? false);
  }

  standingBan(userId: string): UserBan | undefined {
    const ban = this.bans.get(userId);
    if (ban?.expiresAtMs === undefined || ban.expiresAtMs > this.now()) return ban;
    this.bans.delete(userId);
    return undefined;
  }

  standingPause(event: EventRecord): SpeakerPause | undefined {
    return event.pause !== undefined && event.pause.expiresAtMs > this.now() ? event.pause : undefined;
  }

  /** Lifts the event's pause, ends the broadcaster's leases, and returns the revision that tells of it. */
  endPause(event: EventRecord, actor: string, expired: boolean): number {
    const pauseId = event.pause?.pauseId ?? "";
    event.pause = undefined;
    for (const [channelId, lease] of event.leases) {
      if (lease.isBroadcast) this.vacate(event, channelId);
    }
    return this.append(event, actor, { kind: "speakersResumed", pauseId, expired });
  }

  currentLease(event: EventRecord, channelId: string): Lease | undefined {
    const lease = event.leases.get(channelId);
    return lease !== undefined && this.#isRunning(lease) ? lease : undefined;
  }

  /** The same; the end of a lease that has run out is announced first, and the next who waits has the floor. */
  settledLease(event: EventRecord, channelId: string): Lease | undefined {
    const lease = event.leases.get(channelId);
    if (lease === undefined || this.#isRunning(lease)) return lease;
    this.revoke(event, "", lease, lease.speaker.expiresAtMs >= lease.talkUntilMs ? "talkedTooLong" : "other");
    return this.#handOn(event, channelId);
  }

  /** Tells that a lease was lost, and returns the revision. */
  revoke(
    event: EventRecord,
    actor: string,
    { leaseId, speaker }: Lease,
    cause: FloorRevokeCause,
    byUserId = "",
  ): number {
    const { channelId, userId, startedAtMs } = speaker;
    return this.append(event, actor, {
      kind: "floorRevoked",
      channelId,
      userId,
      startedAtMs,
      leaseId,
      cause,
      byUserId,
    });
  }

  /** Gives a floor to whoever asked for it, under a new lease that at first lasts for `firstMs`. */
  grant(event: EventRecord, request: Omit<StartPttRequest, "actor">, firstMs: number): Lease {
    const { channelId, userId, userName, sessionId, priority, leaseTimeMs } = request;
    const startedAtMs = this.now();
    const talkUntilMs = startedAtMs + request.talkTimeMs;
    const expiresAtMs = Math.min(startedAtMs + firstMs, talkUntilMs);
    const speaker = { channelId, userId, userName, startedAtMs, expiresAtMs, priority };
    return this.give(event, { speaker, sessionId, leaseTimeMs, talkUntilMs, isBroadcast: false });
  }

  /** Greater than every earlier one of the event. */
  nextLeaseId(event: EventRecord): number {
    event.lastLeaseId = Math.max(event.lastLeaseId + 1, this.now());
    return event.lastLeaseId;
  }

  /** Gives a floor to somebody under a new lease, whoever held it before. */
  give(event: EventRecord, terms: Omit<Lease, "leaseId">): Lease {
    const lease = { leaseId: this.nextLeaseId(event), ...terms };
    event.leases.set(lease.speaker.channelId, lease);
    this.tellFloor(event, lease.speaker.channelId);
    this.speakerListeners.emit(lease.speaker.channelId, lease.speaker);
    return lease;
  }

  /**
   * Tells those who follow the floor of the event who speaks on a channel.
   *
   * @param lookAtMs where somebody waits from now on: when that ends
   */
  tellFloor(event: EventRecord, channelId: string, lookAtMs?: number): void {
    const lease = event.leases.get(channelId);
    const hasLease = lease !== undefined && !lease.isBroadcast;
    const change = { channelId, holder: lease?.speaker, hasLease, ...(lookAtMs !== undefined && { lookAtMs }) };
    const news = { epoch: event.log.epoch, version: ++event.floorVersion, timeMs: this.now(), changes: [change] };
    this.floorListeners.emit(event.eventId, news);
  }

  /** Gives a floor to the broadcaster of the pause, if it has one, until the pause ends. */
  giveToBroadcaster(event: EventRecord, pause: SpeakerPause, channelId: string): void {
    if (pause.broadcaster === undefined) return;
    const { startedAtMs, expiresAtMs } = pause;
    const speaker = { channelId, ...pause.broadcaster, startedAtMs, expiresAtMs, priority: "emergency" } as const;
    const lease = { sessionId: "", leaseTimeMs: 0, talkUntilMs: expiresAtMs, isBroadcast: true };
    this.give(event, { speaker, ...lease });
  }

  /** A floor is given up: the broadcaster of the pause that stands has it, or the next who waits; else it is free. */
  free(event: EventRecord, channelId: string): void {
    if (event.pause?.broadcaster !== undefined) this.giveToBroadcaster(event, event.pause, channelId);
    else this.#handOn(event, channelId);
  }

  #handOn(event: EventRecord, channelId: string): Lease | undefined {
    const next = serveQueue(this, event, channelId);
    if (next === undefined) this.vacate(event, channelId);
    return next;
  }

  #isRunning(lease: Lease): boolean {
    return lease.speaker.expiresAtMs > this.now();
  }

  /** Frees a floor. */
  vacate(event: EventRecord, channelId: string): void {
    if (!event.leases.delete(channelId)) return;
    this.tellFloor(event, channelId);
    this.speakerListeners.emit(channelId, undefined);
  }
}
