/** A call that a caller made or tried to make, as recorded in the audit trail. */
export interface AuditRecord {
  /** When the call was made, ms since 1970 by the clock of the replica that served it. */
  timeMs: number;
  /** The caller's name. */
  actor: string;
  /** The call, for example `PauseAllSpeakers`. */
  action: string;
  /** The event that the call concerns; empty if it concerns none. */
  eventId: string;
  /** The user, channel or pause that the call concerns; empty if it concerns only the event. */
  target: string;
  /** The name of the gRPC status of the answer, for example `OK`. */
  outcome: string;
  /** The call id, by which the replica's log lines can be found. */
  callId: string;
  /** The reason that the caller gave, or the reason of the refusal. May be empty. */
  detail: string;
}

/** A record in the audit trail. */
export interface AuditEntry extends AuditRecord {
  /** Ascending in the order in which the store recorded the entries. */
  entryId: string;
}

/** Selects entries to read, the newest first. */
export interface AuditQuery {
  /** Only entries of these events. Undefined: all entries, including those without an event. */
  eventIds?: readonly string[] | undefined;
  /** Only entries older than this one. */
  before?: string | undefined;
  /** The most entries to return, 1 or more. */
  limit: number;
}

/** The approximate number of entries that the trail keeps. */
export const DEFAULT_AUDIT_LENGTH = 10_000;
