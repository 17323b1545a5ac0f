import type { Cursor } from "../../domain/cursor.js";

/**
 * The position up to which this router has applied the changes of each event. It is behind the mirror while a listener
 * still has work to do.
 */
export class AppliedPositions {
  readonly #acted = new Map<string, Cursor>();
  /** The unfinished tasks of each event, oldest first. `upTo` is the last position that was applied before the task. */
  readonly #deferred = new Map<string, Set<{ upTo: Cursor | undefined }>>();

  /** Records that all listeners have received every change up to the cursor. */
  advance(cursor: Cursor): void {
    this.#acted.set(cursor.eventId, cursor);
  }

  /** Starts a task for a change that arrived after the last `advance`. The returned function ends the task. */
  defer(eventId: string): () => void {
    const deferred = this.#deferred.get(eventId) ?? new Set();
    const task = { upTo: this.#acted.get(eventId) };
    this.#deferred.set(eventId, deferred.add(task));
    return () => {
      deferred.delete(task);
      if (deferred.size === 0 && this.#deferred.get(eventId) === deferred) this.#deferred.delete(eventId);
    };
  }

  /** Returns one cursor for each event. An event without an applied change has none. */
  cursors(): Cursor[] {
    return [...this.#acted].flatMap(([eventId, cursor]) => {
      const [oldest] = this.#deferred.get(eventId) ?? [];
      return (oldest === undefined ? cursor : oldest.upTo) ?? [];
    });
  }
}
