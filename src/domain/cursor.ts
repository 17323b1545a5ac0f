/** How far a watcher has got in the log of one event. */
export interface Cursor {
  eventId: string;
  /** An opaque id. Revisions of different epochs cannot be compared. */
  epoch: string;
  /** 0 before the first change. */
  revision: number;
}

/** A revision within an epoch. */
export interface LogPosition {
  epoch: string;
  revision: number;
}

/** The place of a write in Redis's order of all membership writes: a ticket, and the messages counted since. */
export interface Position {
  /** The ticket, close to ms since 1970. */
  generation: number;
  /** How many messages the control plane has published since that ticket. 0 for a write over RPC, which takes its own ticket. */
  count: number;
}

/** Returns a number below 0 if `a` comes before `b`, 0 if they are equal, above 0 otherwise. */
export function comparePositions(a: Position, b: Position): number {
  return a.generation - b.generation || a.count - b.count;
}
