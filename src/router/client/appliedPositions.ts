import type { Cursor } from "../../domain/cursor.js";

/** Up to where this router has acted in each event: behind what it knows while a listener still has something to do. */
export class AppliedPositions {
  readonly #acted = new Map<string, Cursor>();
  /** What is still to be done, by event and oldest first: up to where everything was done before. */
  readonly #deferred = new Map<string, Set<{ upTo: Cursor | undefined }>>();

  /** All listeners have been told of everything up to there. */
  advance(cursor: Cursor): void {
    this.#acted.set(cursor.eventId, cursor);
  }

  /** Something that was told since the last `advance` is done later: when the returned function is called. */
  defer(eventId: string): () => void {
    const deferred = this.#deferred.get(eventId) ?? new Set();
    const task = { upTo: this.#acted.get(eventId) };
    this.#deferred.set(eventId, deferred.add(task));
    return () => {
      deferred.delete(task);
      if (deferred.size === 0 && this.#deferred.get(eventId) === deferred) this.#deferred.delete(eventId);
    };
  }

  /** One an event; none for an event of which nothing has been done yet. */
  cursors(): Cursor[] {
    return [...this.#acted].flatMap(([eventId, cursor]) => {
      const [oldest] = this.#deferred.get(eventId) ?? [];
      return (oldest === undefined ? cursor : oldest.upTo) ?? [];
    });
  }
}
