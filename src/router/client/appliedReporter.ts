import { type ServiceError, status } from "@grpc/grpc-js";
import type { Cursor } from "../../domain/cursor.js";
import { batchesOf } from "../../lib/batchesOf.js";
import type { Logger } from "../../lib/logger.js";

/**
 * The shortest time between two reports, ms, by the most urgent action since the last report. A report costs more than a
 * change, so a fast series of changes must not cause a report for each.
 */
const GAPS_MS = { emergency: 20, revocation: 250, other: 1_000 } as const;
/** The wait after a failed report, ms. */
const RETRY_MS = 1_000;
/** The longest time between two reports of all events, ms. They show that this router is alive. */
const LIFE_SIGN_MS = 5_000;
/** The wait before the next report to an old replica that does not know ReportApplied, ms. */
const UNKNOWN_CALL_MS = 60_000;
/** How many events one report may name. */
const MAX_CURSORS = 1_000;

/** The kind of a change that this router has applied. Urgent kinds are reported sooner. */
export type ReportedAction = keyof typeof GAPS_MS;

/**
 * Reports to the replica up to which position this router has applied the changes of each event.
 *
 * A report leaves at once, unless another one left just before: then it follows that one after 20 ms for an emergency,
 * 250 ms for a revocation and 1 s for other changes. All events are reported at least every 5 s. One report is under way at
 * a time, and it has the newest positions. A failed report is retried after 1 s with the positions of that time.
 */
export class AppliedReporter {
  readonly #cursors: () => readonly Cursor[];
  readonly #send: (cursors: readonly Cursor[], leaving: boolean) => Promise<unknown>;
  readonly #logger: Logger;
  /** The last position that the replica has accepted, by event. */
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
   * @param cursors returns the applied position of each event
   * @param send sends one report to a replica; rejects with a grpc-js ServiceError
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

  /** Starts the regular reports of all events. */
  start(): void {
    this.#isStarted = true;
    this.#nextLifeSignMs = performance.now() + lifeSignMs();
    this.#plan(this.#nextLifeSignMs);
  }

  /** Plans a report of a change that this router applies in this turn of the event loop. The report leaves after the turn. */
  acted(action: ReportedAction): void {
    this.#plan(this.#lastMs + GAPS_MS[action]);
  }

  /** Stops reporting, and reports that this router has left its events. Never rejects. */
  async leave(): Promise<void> {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    // A report under way must not arrive after the last report.
    await this.#sending;
    if (!this.#isStarted) return;
    try {
      await this.#sendAll(this.#cursors(), true);
    } catch (error) {
      this.#logger.debug({ err: error }, "last report failed, replicas wait for this router until its entry expires");
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
    // The listeners of this turn must finish first.
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
        ? "replica does not support reports of applied changes, retrying every 60 s"
        : "report of applied changes failed, retrying";
      this.#logger.warn({ code, details }, message);
    }
    this.#hasFailed = true;
    this.#notBeforeMs = performance.now() + (isUnknownCall ? UNKNOWN_CALL_MS : RETRY_MS);
    this.#dueMs = Infinity;
    this.#plan(this.#notBeforeMs);
  }
}

// Shortened at random, so that routers that started together do not report at the same time.
function lifeSignMs(): number {
  return LIFE_SIGN_MS * (1 - Math.random() / 5);
}
