import { type ServiceError, status } from "@grpc/grpc-js";
import type { Cursor } from "../../domain/cursor.js";
import { batchesOf } from "../../lib/batchesOf.js";
import type { Logger } from "../../lib/logger.js";

/**
 * How far a report of something is at least from the one before, ms. A report costs more than the change that it is of: a
 * steady stream of revocations must not become one of reports.
 */
const GAPS_MS = { emergency: 20, revocation: 250, other: 1_000 } as const;
/** The wait after a failed report, ms. */
const RETRY_MS = 1_000;
/** The longest time between two reports of all events, ms: the sign of life. */
const LIFE_SIGN_MS = 5_000;
/** How long a replica that does not know the call is left alone, ms: it may be replaced by one that does. */
const UNKNOWN_CALL_MS = 60_000;
/** How many events one report may name. */
const MAX_CURSORS = 1_000;

/** What this router has acted on: the more somebody may wait for it, the sooner it is reported. */
export type ReportedAction = keyof typeof GAPS_MS;

/**
 * Reports up to where this router has acted: at once where nothing was reported just before, else within 20 ms after an
 * emergency, 250 ms after a revocation, 1 s after anything else; and all events every 5 s at the latest. One report is
 * under way at a time, with the newest positions there are when it leaves. What a failed report would have said is said
 * by the next.
 */
export class AppliedReporter {
  readonly #cursors: () => readonly Cursor[];
  readonly #send: (cursors: readonly Cursor[], leaving: boolean) => Promise<unknown>;
  readonly #logger: Logger;
  /** What the store has taken, by event. */
  readonly #reported = new Map<string, Cursor>();
  #isStarted = false;
  #isStopped = false;
  #sending: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** When the next report leaves, by `performance.now()`. */
  #dueMs = Infinity;
  #notBeforeMs = -Infinity;
  #lastMs = -Infinity;
  #nextLifeSignMs = -Infinity;
  #hasFailed = false;

  /**
   * @param cursors up to where this router has acted, one an event
   * @param send tells the store; rejects with a grpc-js ServiceError
   */
  constructor(
    cursors: () => readonly Cursor[],
    send: (cursors: readonly Cursor[], leaving: boolean) => Promise<unknown>,
    logger: Logger,
  ) {
    this.#cursors = cursors;
    this.#send = send;
    this.#logger = logger;
  }

  start(): void {
    this.#isStarted = true;
    this.#nextLifeSignMs = performance.now() + lifeSignMs();
    this.#plan(this.#nextLifeSignMs);
  }

  /** This router is about to have acted on something. The report leaves after this turn of the event loop, or later. */
  acted(action: ReportedAction): void {
    this.#plan(this.#lastMs + GAPS_MS[action]);
  }

  /** Stops reporting, and says that this router has given up its events. Never rejects. */
  async leave(): Promise<void> {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    // It must not arrive after the farewell.
    await this.#sending;
    if (!this.#isStarted) return;
    try {
      await this.#sendAll(this.#cursors(), true);
    } catch (error) {
      this.#logger.debug({ err: error }, "farewell not heard; this router is waited for until it is forgotten");
    }
  }

  #plan(wantedMs: number): void {
    if (!this.#isStarted || this.#isStopped) return;
    const atMs = Math.max(wantedMs, this.#notBeforeMs);
    if (atMs >= this.#dueMs) return;
    this.#dueMs = atMs;
    if (this.#sending === undefined) this.#arm();
  }

  #arm(): void {
    clearTimeout(this.#timer);
    const waitMs = this.#dueMs - performance.now();
    // Not in the middle of what is being acted on.
    if (waitMs <= 0) queueMicrotask(() => this.#report());
    else this.#timer = setTimeout(() => this.#report(), waitMs);
  }

  #report(): void {
    if (this.#sending !== undefined || this.#isStopped) return;
    this.#dueMs = Infinity;
    this.#sending = this.#sendNews().finally(() => {
      this.#sending = undefined;
      this.#plan(this.#nextLifeSignMs);
      if (!this.#isStopped) this.#arm();
    });
  }

  async #sendNews(): Promise<void> {
    const nowMs = performance.now();
    const isLifeSign = nowMs >= this.#nextLifeSignMs;
    if (isLifeSign) this.#nextLifeSignMs = nowMs + lifeSignMs();
    const cursors = this.#cursors();
    const news = cursors.filter((cursor) => !this.#isReported(cursor));
    if (news.length > 0) this.#lastMs = nowMs;
    try {
      await this.#sendAll(isLifeSign ? cursors : news, false);
      this.#hasFailed = false;
    } catch (error) {
      this.#retryLater(error as ServiceError);
    }
  }

  async #sendAll(cursors: readonly Cursor[], leaving: boolean): Promise<void> {
    for (const batch of batchesOf(cursors, MAX_CURSORS)) {
      await this.#send(batch, leaving);
      for (const cursor of batch) this.#reported.set(cursor.eventId, cursor);
    }
  }

  #isReported({ eventId, epoch, revision }: Cursor): boolean {
    const reported = this.#reported.get(eventId);
    return reported?.epoch === epoch && reported.revision === revision;
  }

  #retryLater(error: ServiceError): void {
    const isUnknownCall = error.code === status.UNIMPLEMENTED;
    const { code, details } = error;
    if (!this.#hasFailed) {
      const message = isUnknownCall
        ? "the replica takes no reports of what is in force; it is asked again from time to time"
        : "what is in force could not be reported, will try again";
      this.#logger.warn({ code, details }, message);
    }
    this.#hasFailed = true;
    this.#notBeforeMs = performance.now() + (isUnknownCall ? UNKNOWN_CALL_MS : RETRY_MS);
    this.#dueMs = Infinity;
    this.#plan(this.#notBeforeMs);
  }
}

// Shortened at random, so that routers that were started together do not stay together.
function lifeSignMs(): number {
  return LIFE_SIGN_MS * (1 - Math.random() / 5);
}
