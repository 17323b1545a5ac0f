import type { AuditRecord } from "../../domain/audit.js";
import type { AuditStore } from "../../domain/ports/auditStore.js";
import type { Logger } from "../../lib/logger.js";

/** How many records may wait for the store; more are told to the log alone. */
const MAX_WAITING = 10_000;
/** How many refusals of one caller, or of all who are not known, are recorded in one minute. */
const MAX_REFUSALS = 10;
/** How many are written at once. */
const MAX_BATCH = 500;
/** The wait before a write that failed is repeated, ms. */
const RETRY_MS = 1_000;
/** How long the last records may take at the end, ms. */
const LAST_WRITE_MS = 2_000;

/**
 * Writes down who did what: to the log at once, and to the store in order as soon as it takes it. Nobody waits for it. A
 * store that is away gets the records when it is back; what does not fit into the queue meanwhile, and what a write with
 * an unknown outcome leaves twice, is the price.
 */
export class AuditTrail {
  readonly #store: AuditStore;
  readonly #logger: Logger;
  readonly #waiting: AuditRecord[] = [];
  #writing: Promise<void> | undefined;
  #isClosed = false;
  /** The minute since 1970 that refusals are counted in, and those of each caller. */
  #minute = 0;
  readonly #refusals = new Map<string, number>();
  #wake: (() => void) | undefined;
  /** True once it was logged that records do not get into the store. */
  #isDropping = false;
  recorded = 0;
  /** Records that the store never got. */
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
   * As `record`, for what a caller can cause as often as they like, whatever they may do: ten a minute, so that nobody
   * pushes out what others have done. Those who are not known count as one. The
   * metrics of calls count all refusals.
   */
  recordRefusal(record: AuditRecord): void {
    const minute = Math.floor(record.timeMs / 60_000);
    if (minute !== this.#minute) this.#refusals.clear();
    this.#minute = minute;
    const count = (this.#refusals.get(record.actor) ?? 0) + 1;
    this.#refusals.set(record.actor, count);
    if (count <= MAX_REFUSALS) this.record(record);
  }

  /** Takes no more, and gives the store a last chance. Idempotent. */
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
    if (lost > 0) this.#logger.error({ records: lost }, "the store has not taken the last audit records");
  }

  async #write(): Promise<void> {
    let hasFailed = false;
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.slice(0, MAX_BATCH);
      try {
        await this.#store.appendAudit(batch);
        this.#waiting.splice(0, batch.length);
        hasFailed = false;
        this.#isDropping = false;
      } catch (error) {
        if (!hasFailed) this.#logger.warn({ err: error }, "audit trail not written, will try again");
        if (this.#isClosed) break;
        hasFailed = true;
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
