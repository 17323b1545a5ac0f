import { randomUUID } from "node:crypto";
import type { ChangeKind, LogEntry } from "../../domain/change.js";
import type { LogPosition } from "../../domain/cursor.js";

/** The log of one event. Revisions are contiguous from 1, within one random epoch. New entries overwrite the oldest. */
export class EventLog {
  readonly epoch = randomUUID();
  readonly #ring: LogEntry[] = [];
  readonly #length: number;
  #revision = 0;

  /** @param length how many entries the log keeps */
  constructor(length: number) {
    this.#length = length;
  }

  get position(): LogPosition {
    return { epoch: this.epoch, revision: this.#revision };
  }

  append(timeMs: number, actor: string, change: ChangeKind): LogEntry {
    const entry: LogEntry = { ...change, epoch: this.epoch, revision: this.#revision + 1, timeMs, actor };
    this.#ring[this.#revision % this.#length] = entry;
    this.#revision = entry.revision;
    return entry;
  }

  /**
   * Returns at most `limit` entries after a position, ascending. Returns undefined if the log does not reach back to it,
   * ends before it, or has another epoch.
   */
  read(after: LogPosition, limit: number): LogEntry[] | undefined {
    const isTrimmed = after.revision < this.#revision - this.#ring.length;
    if (after.epoch !== this.epoch || isTrimmed || after.revision > this.#revision) return undefined;
    const count = Math.min(limit, this.#revision - after.revision);
    // Within the bounds checked above every index is filled.
    return Array.from({ length: count }, (_, i) => this.#ring[(after.revision + i) % this.#length] as LogEntry);
  }

  /** See {@link LogStore.readLogBack}. */
  readBack(last: LogPosition, limit: number): LogEntry[] | undefined {
    if (last.epoch !== this.epoch) return undefined;
    if (last.revision > this.#revision) return [];
    const oldest = Math.max(last.revision - limit, this.#revision - this.#ring.length);
    return this.read({ epoch: this.epoch, revision: oldest }, last.revision - oldest) ?? [];
  }
}
