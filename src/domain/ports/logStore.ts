import type { LogEntry } from "../change.js";
import type { LogPosition } from "../cursor.js";
import type { SpeakerPause } from "../floor.js";
import type { Membership } from "../membership.js";
import type { Unsubscribe } from "./unsubscribe.js";

/** The complete state of one event at one revision. */
export interface EventState extends LogPosition {
  /** When the newest entry was made, ms since 1970. Undefined if there is none, or if the engine does not keep it. */
  newestTimeMs?: number | undefined;
  members: Membership[];
  pause?: SpeakerPause | undefined;
}

/** The log and the state of each event. */
export interface LogStore {
  /** Returns every event that was ever written or watched. */
  listEvents(): Promise<string[]>;
  /** Calls back once for each event that is new to the store. Once it resolves, no new event is missed. */
  followEvents(listener: (eventId: string) => void): Promise<Unsubscribe>;
  /** Reads the state of an event in one step. An event that was never written gets an epoch and revision 0. */
  loadEvent(eventId: string): Promise<EventState>;
  /** Returns the end of the event's log; undefined for an event without an epoch. */
  readPosition(eventId: string): Promise<LogPosition | undefined>;
  /**
   * Returns at most `limit` entries after a revision, ascending and contiguous. The list is empty at the end of the log.
   * Returns undefined if the log no longer reaches back to the revision, ends before it, or has another epoch.
   */
  readLog(eventId: string, after: LogPosition, limit: number): Promise<LogEntry[] | undefined>;
  /**
   * Reads the newest entries up to `last`, including it, ascending and without gaps: at most `limit`, fewer if the log
   * starts later, none if the log does not have the revision. Undefined if the log has another epoch.
   */
  readLogBack(eventId: string, last: LogPosition, limit: number): Promise<LogEntry[] | undefined>;
  /**
   * Begins a new epoch if the store has gone back behind a delivered change: the store is in the same epoch, but its log
   * ends before that revision or has an entry with another time there. Otherwise it changes nothing.
   *
   * @param delivered the newest change that was delivered, with the time of its entry (`timeMs`) if that is known
   */
  renewEpoch(eventId: string, delivered: LogPosition & { timeMs?: number | undefined }): Promise<void>;
  /**
   * Calls back for each entry as it is appended; for a sync at least for its newest entry. Once it resolves, no entry is
   * missed. An entry appended just before may come too. Entries may come out of order.
   */
  follow(eventId: string, listener: (entry: LogEntry) => void): Promise<Unsubscribe>;
}
