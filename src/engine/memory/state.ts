import type { RouterNews, RouterProgress } from "../../domain/applied.js";
import type { UserBan } from "../../domain/ban.js";
import type { ChangeKind, LogEntry } from "../../domain/change.js";
import type { Position } from "../../domain/cursor.js";
import type { EventLimits } from "../../domain/eventLimits.js";
import type { KnownReplica } from "../../domain/fleet.js";
import type { ActiveSpeaker, SpeakerPause } from "../../domain/floor.js";
import { unknownChannel } from "../../domain/membership.js";
import type { FloorNews, PauseOutcome, StartPttRequest } from "../../domain/ports/floorStore.js";
import type { Logger } from "../../lib/logger.js";
import { EventLog } from "./eventLog.js";
import { Listeners } from "./listeners.js";

/** The membership of one user in one event. It stays when the user's last channel is revoked. */
export interface Member {
  channelIds: string[];
  /** Revision of the user's newest change, 0 if there was none. */
  revision: number;
  /** Position of the user's newest write. */
  position: Position;
}

/** The right of one user to speak on one channel. */
export interface Lease {
  leaseId: number;
  sessionId: string;
  speaker: ActiveSpeaker;
  /** How far from now a renewal sets the expiry, in ms. */
  leaseTimeMs: number;
  /** The latest expiry that a renewal may set, ms since 1970. */
  talkUntilMs: number;
  /** True for a lease of a pause's broadcaster, which ends with the pause. */
  isBroadcast: boolean;
}

/** A request that waits for the floor of a channel. */
export interface QueuedRequest extends Omit<StartPttRequest, "actor" | "queue"> {
  queueId: number;
  endsAtMs: number;
}

/** All that the engine keeps of one event. */
export class EventRecord {
  readonly log: EventLog;
  readonly members = new Map<string, Member>();
  readonly channelIds = new Set<string>();
  /** Leases by channel id. An expired lease stays here until its end is announced. */
  readonly leases = new Map<string, Lease>();
  /** When each user was last disconnected by an operator, by user id. */
  readonly disconnectedAtMs = new Map<string, number>();
  /** The bans that the log has announced and not yet ended, by user id. */
  readonly bans = new Map<string, UserBan>();
  /** Waiting requests by channel id, the next to be served first. A channel without waiting requests has no entry. */
  readonly queues = new Map<string, QueuedRequest[]>();
  /** Outcomes of pauses by their request id, each with the digest of its caller and content. */
  readonly pauseRequests = new Map<string, { digest: string; outcome: PauseOutcome }>();
  /** The position of the newest sync, if there was one. A write at or below it is dropped. */
  positionFloor: Position | undefined;
  /** Routers by id. A router that has been silent for too long stays here until the routers are next read. */
  readonly routers = new Map<string, RouterProgress>();
  /** The pause that has not been announced as ended. It may have expired. */
  pause: SpeakerPause | undefined;
  lastLeaseId = 0;
  /** Version of the newest FloorNews. */
  floorVersion = 0;

  constructor(
    readonly eventId: string,
    logLength: number,
  ) {
    this.log = new EventLog(logLength);
  }
}

/** All events of the process. Every method is one step: it never waits. */
export class MemoryState {
  readonly events = new Map<string, EventRecord>();
  readonly eventOfChannel = new Map<string, string>();
  /** The fleet's bans by user id. An expired ban may still be here. */
  readonly bans = new Map<string, UserBan>();
  /** Replicas by id. A replica that has been silent for too long stays here until the replicas are next read. */
  readonly replicas = new Map<string, KnownReplica>();
  /** Listeners by event id. */
  readonly entryListeners: Listeners<LogEntry>;
  /** Listeners under one key, the empty string. */
  readonly eventListeners: Listeners<string>;
  /** Listeners by channel id. */
  readonly speakerListeners: Listeners<ActiveSpeaker | undefined>;
  /** Listeners by event id. */
  readonly routerListeners: Listeners<RouterNews>;
  /** Listeners by event id. */
  readonly floorListeners: Listeners<FloorNews>;
  /** Listeners under one key, the empty string. */
  readonly pauseListeners: Listeners<string>;
  /** Listeners under one key, the empty string. */
  readonly banListeners: Listeners<undefined>;
  #generation = 0;

  /** @param now returns ms since 1970 */
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

  /** Returns a position after every earlier one. Its generation is at least `atLeast`. */
  takeTicket(atLeast: number): Position {
    this.#generation = Math.max(this.#generation + 1, this.now(), atLeast);
    return { generation: this.#generation, count: 0 };
  }

  /** Returns the event that owns a channel. Throws `notFound` if no event owns it. */
  eventOf(channelId: string): EventRecord {
    const event = this.events.get(this.eventOfChannel.get(channelId) ?? "");
    if (event !== undefined) return event;
    throw unknownChannel(channelId);
  }

  /** Appends a change to the event's log, notifies the log's listeners, and returns the revision. */
  append(event: EventRecord, actor: string, change: ChangeKind): number {
    const entry = event.log.append(this.now(), actor, change);
    this.entryListeners.emit(event.eventId, entry);
    return entry.revision;
  }

  /** Returns true if the user is a member of the channel, or if the request needs no membership. */
  isAdmitted(
    event: EventRecord,
    request: Pick<StartPttRequest, "userId" | "channelId" | "ignoresMembership" | "admitsAllWithoutMembers">,
  ): boolean {
    const { userId, channelId, ignoresMembership, admitsAllWithoutMembers } = request;
    if (ignoresMembership || (admitsAllWithoutMembers && event.members.size === 0)) return true;
    return event.members.get(userId)?.channelIds.includes(channelId) ?? false;
  }

  /** Returns the user's ban unless it has expired. */
  standingBan(userId: string): UserBan | undefined {
    const ban = this.bans.get(userId);
    if (ban?.expiresAtMs === undefined || ban.expiresAtMs > this.now()) return ban;
    this.bans.delete(userId);
    return undefined;
  }

  /** Returns the event's pause unless it has expired. */
  standingPause(event: EventRecord): SpeakerPause | undefined {
    return event.pause !== undefined && event.pause.expiresAtMs > this.now() ? event.pause : undefined;
  }
}
