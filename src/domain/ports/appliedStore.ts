import type { EventRouters, RouterNews } from "../applied.js";
import type { Cursor } from "../cursor.js";
import type { Unsubscribe } from "./unsubscribe.js";

/** How far each router has applied the changes of an event. The store forgets a router a minute after its last sign of life. */
export interface AppliedStore {
  /** Records that a router watches these events, so that callers wait for it. */
  holdRouter(routerId: string, eventIds: readonly string[]): Promise<void>;
  /**
   * Records that a router has applied everything up to these cursors. A cursor that is behind the recorded one, ahead of
   * the log, or of another epoch counts only as a sign of life. A cursor of an event without an epoch is ignored.
   */
  reportApplied(routerId: string, cursors: readonly Cursor[]): Promise<void>;
  /** Records that a router no longer serves these events. */
  releaseRouter(routerId: string, eventIds: readonly string[]): Promise<void>;
  readRouters(eventId: string): Promise<EventRouters>;
  /** Calls back with all news except signs of life. Once it resolves, no news is missed. */
  followRouters(eventId: string, listener: (news: RouterNews) => void): Promise<Unsubscribe>;
}
