/** How far a watcher has got in the log of one event. */
export interface Cursor {
  eventId: string;
  /** Opaque; revisions of different epochs cannot be compared. */
  epoch: string;
  /** 0 before the first change. */
  revision: number;
}

/** A revision within an epoch. */
export interface LogPosition {
  epoch: string;
  revision: number;
}

/** A place in the order that Redis gave to all writes of memberships: the ticket, then the messages since. */
export interface Position {
  /** The ticket, about milliseconds since 1970. */
  generation: number;
  /** Messages of the control plane since that ticket; 0 for a write over RPC, which brings its own ticket. */
  count: number;
}

/** Below 0 if `a` comes before `b`, 0 if they are the same, above 0 otherwise. */
export function comparePositions(a: Position, b: Position): number {
  return a.generation - b.generation || a.count - b.count;
}
