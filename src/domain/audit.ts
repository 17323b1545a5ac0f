/** What somebody did, or tried to: one entry of the audit trail. */
export interface AuditRecord {
  /** ms since 1970, by the clock of the replica that was asked. */
  timeMs: number;
  /** Who asked. */
  actor: string;
  /** The call, for example `PauseAllSpeakers`. */
  action: string;
  /** Empty where the call is of no event. */
  eventId: string;
  /** Whom or what it was about: a user, a channel, a pause; empty if only the event. */
  target: string;
  /** What came of it: `OK`, else the name of the gRPC status. */
  outcome: string;
  /** Finds it in the replica's log. */
  requestId: string;
  /** The given reason, or why it was refused; may be empty. */
  detail: string;
}

/** A record as the trail keeps it. */
export interface AuditEntry extends AuditRecord {
  /** Ascends with the order in which the store took it. */
  entryId: string;
}

/** Which entries to read, the newest first. */
export interface AuditQuery {
  /** Only of these events; undefined: all, and those of no event. */
  eventIds?: readonly string[] | undefined;
  /** Only those that are older than this entry. */
  before?: string | undefined;
  /** At most so many, from 1. */
  limit: number;
}

/** How many records are kept, about. */
export const DEFAULT_AUDIT_LENGTH = 10_000;
