import type { RouterNews, RouterProgress } from "../../../domain/applied.js";
import type { LogPosition } from "../../../domain/cursor.js";
import { refusal, type SquelchError } from "../../../domain/errors.js";
import type { Engine } from "../../../domain/ports/engine.js";
import { RouterTable } from "../../../domain/routerTable.js";

/** The change that a call waits for. */
export interface AwaitedChange {
  eventId: string;
  revision: number;
  /** Undefined for the present epoch. */
  epoch: string | undefined;
}

/** Which routers have applied the change and which, as far as is known, have not. Each list is sorted by router id. */
export interface AppliedRouters {
  applied: RouterProgress[];
  missing: RouterProgress[];
  /** The position of the change. */
  position: LogPosition;
  /** When the change was made, in ms since 1970 by the store's clock; undefined if the log no longer contains the change. */
  changedMs: number | undefined;
}

/**
 * Waits until every router of the event has applied the change.
 *
 * @param untilMs when to answer at the latest, by `performance.now()`
 * @param signal ends the wait. Its reason is thrown.
 * @throws SquelchError `failedPrecondition` if the log has no such revision; `unavailable` if the store cannot be read
 */
export async function awaitApplied(
  engine: Engine,
  change: AwaitedChange,
  untilMs: number,
  signal: AbortSignal,
): Promise<AppliedRouters> {
  const wait = new AppliedWait(engine, change);
  const stop = [
    await engine.followRouters(change.eventId, (news) => wait.take(news)),
    engine.onFeedRestored(() => wait.doubt()),
  ];
  const abort = () => wait.doubt();
  signal.addEventListener("abort", abort);
  try {
    return await wait.until(untilMs, signal);
  } finally {
    signal.removeEventListener("abort", abort);
    for (const end of stop) end();
  }
}

// One wait. It reads the store at the beginning, when news may have been missed, when a silent router may be given up, and
// before it answers that routers are missing. Between these reads it relies on the news of routers.
class AppliedWait {
  readonly #engine: Engine;
  readonly #change: AwaitedChange;
  #position: LogPosition | undefined;
  #table: RouterTable | undefined;
  #mustRead = true;
  /** News received during a read of the store. They may be older or newer than the result of the read. */
  #early: RouterNews[] | undefined;
  /** The store's clock minus `performance.now()`, ms. */
  #storeClockMs = 0;
  #wake: (() => void) | undefined;

  constructor(engine: Engine, change: AwaitedChange) {
    this.#engine = engine;
    this.#change = change;
  }

  take(news: RouterNews): void {
    if (this.#early !== undefined) {
      this.#early.push(news);
      return;
    }
    this.#table?.take(news);
    // Routers report positions of the present epoch only. A position in another epoch means that the epoch has changed.
    const isOfOtherEpoch = !news.isGone && news.position && news.position.epoch !== this.#position?.epoch;
    if (isOfOtherEpoch) this.doubt();
    else if (this.#table?.isAppliedEverywhere) this.#wake?.();
  }

  /** Makes the wait read the store again. */
  doubt(): void {
    this.#mustRead = true;
    this.#wake?.();
  }

  async until(untilMs: number, signal: AbortSignal): Promise<AppliedRouters> {
    for (;;) {
      signal.throwIfAborted();
      const isTimeUp = performance.now() >= untilMs;
      const table = this.#mustRead || this.#table === undefined || isTimeUp ? await this.#read() : this.#table;
      if (this.#mustRead) continue;
      if (table.isAppliedEverywhere || isTimeUp) return this.#describe(table);
      await this.#sleepUntil(Math.min(untilMs, table.nextDropMs - this.#storeClockMs));
    }
  }

  async #read(): Promise<RouterTable> {
    const { eventId, revision, epoch } = this.#change;
    this.#mustRead = false;
    this.#early = [];
    const { position: head = { epoch: "", revision: 0 }, nowMs, routers } = await this.#engine.readRouters(eventId);
    this.#storeClockMs = nowMs - performance.now();
    this.#position ??= { epoch: epoch ?? head.epoch, revision };
    if (head.epoch !== this.#position.epoch || head.revision < revision) {
      throw noSuchRevision(eventId, this.#position);
    }
    const table = new RouterTable(this.#position);
    table.replace(routers, nowMs);
    const early = this.#early;
    this.#early = undefined;
    this.#table = table;
    for (const news of early) {
      // A router that has left may have come back before the store was read.
      if (news.isGone) this.#mustRead = true;
      else this.take(news);
    }
    return table;
  }

  async #sleepUntil(timeMs: number): Promise<void> {
    await new Promise<void>((resolve) => {
      // A timer may fire up to 1 ms early.
      const timer = setTimeout(() => this.doubt(), Math.max(timeMs - performance.now(), 0) + 1);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wake = undefined;
  }

  async #describe({ applied, missing }: RouterTable): Promise<AppliedRouters> {
    const position = this.#position as LogPosition;
    const before = { ...position, revision: position.revision - 1 };
    const [entry] = before.revision < 0 ? [] : ((await this.#engine.readLog(this.#change.eventId, before, 1)) ?? []);
    return { applied, missing, position, changedMs: entry?.timeMs };
  }
}

function noSuchRevision(eventId: string, { revision, epoch }: LogPosition): SquelchError {
  return refusal(
    "REVISION_UNKNOWN",
    `revision: the log of "${eventId}" has no revision ${revision}; if a change had this revision, the log has begun anew ` +
      "since: check whether the change is still there, and repeat it if not",
    { revision: `${revision}`, epoch },
  );
}
