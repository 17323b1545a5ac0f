import type { AuditRecord } from "../../domain/audit.js";
import type { AuditStore } from "../../domain/ports/auditStore.js";
import type { Logger } from "../../lib/logger.js";

/** How many records may wait for the store. Further records go only to the log. */
const MAX_WAITING = 10_000;
/** How many refusals per minute are recorded of one caller. All unauthenticated callers together count as one. */
const MAX_REFUSALS = 10;
/** How many records one write contains. */
const MAX_BATCH = 500;
/** The wait before a failed write is repeated, ms. */
const RETRY_MS = 1_000;
/** How long `close` waits for the last write, ms. */
const LAST_WRITE_MS = 2_000;

/**
 * Records who did what: in the log at once, and in the store in the background, in order. Calls do not wait for it. While
 * the store is unavailable, records wait in a bounded queue; those that do not fit are only in the log. A retry after an
 * unknown outcome can record an entry twice.
 */
export class AuditTrail {
  readonly #store: AuditStore;
  readonly #logger: Logger;
  readonly #waiting: AuditRecord[] = [];
  #writing: Promise<void> | undefined;
  #isClosed = false;
  /** The current minute, counted from 1970. `#refusals` counts the refusals of each caller in it. */
  #minute = 0;
  readonly #refusals = new Map<string, number>();
  #wake: (() => void) | undefined;
  /** True once it was logged that records do not get into the store. */
  #isDropping = false;
  recorded = 0;
  /** How many records were dropped before the store had them. */
  dropped = 0;

  constructor(store: AuditStore, logger: Logger) {
    this.#store = store;
    this.#logger = logger;
  }

  record(record: AuditRecord): void {
    this.recorded++;
    this.#logger.info(record, "audit");
    if (this.#isClosed || this.#waiting.length >= MAX_WAITING) {
      this.dropped++;
      if (!this.#isDropping)
        this.#logger.error({ waiting: this.#waiting.length }, "audit records are only in this log");
      this.#isDropping = true;
      return;
    }
    this.#waiting.push(record);
    this.#writing ??= this.#write();
  }

  /**
   * Records a refused call. A caller can cause any number of refusals, so at most ten a minute are recorded of each caller;
   * otherwise they would displace other entries. Unauthenticated callers count as one caller. The call metrics count all
   * refusals.
   */
  recordRefusal(record: AuditRecord): void {
    const minute = Math.floor(record.timeMs / 60_000);
    if (minute !== this.#minute) this.#refusals.clear();
    this.#minute = minute;
    const count = (this.#refusals.get(record.actor) ?? 0) + 1;
    this.#refusals.set(record.actor, count);
    if (count <= MAX_REFUSALS) this.record(record);
  }

  /** Stops recording, and waits at most 2 s for the queued records to be written. Idempotent. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#wake?.();
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, LAST_WRITE_MS);
    });
    await Promise.race([this.#writing, patience]);
    clearTimeout(timer);
    const lost = this.#waiting.splice(0).length;
    this.dropped += lost;
    if (lost > 0) this.#logger.error({ records: lost }, "the last audit records could not be stored in time");
  }

  async #write(): Promise<void> {
    let failure: string | undefined;
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.slice(0, MAX_BATCH);
      try {
        await this.#store.appendAudit(batch);
        this.#waiting.splice(0, batch.length);
        failure = undefined;
        this.#isDropping = false;
      } catch (error) {
        const { message } = error as Error;
        if (message !== failure) this.#logger.warn({ err: error }, "audit trail could not be written, will retry");
        if (this.#isClosed) break;
        failure = message;
        await this.#pause();
      }
    }
    this.#writing = undefined;
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, RETRY_MS);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
