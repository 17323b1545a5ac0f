import { isUnavailable } from "../../domain/errors.js";
import type { Engine } from "../../domain/ports/engine.js";
import type { ControlPlane } from "../../engine/redis/ingest/controlPlane.js";
import type { Logger } from "../../lib/logger.js";
import { SharedRun } from "../../lib/sharedRun.js";
import type { Ingest } from "./ingest.js";
import { type ReconcileOptions, type ReconcileOutcome, reconcile } from "./reconcile.js";

/** How long a request waits for others to share the reconcile, and a failed one before it is repeated, ms. */
const REQUEST_DELAY_MS = 1_000;
/** Of how many users a reconcile says in the log that it could not judge them. */
const MAX_AMBIGUOUS_LOGGED = 100;

/**
 * All reconciles of one process: one at a time, shared by all who ask for one. A reconcile that ends closes the gap
 * before the unbroken subscription, if there is one.
 */
export class Reconciler {
  /** What reconciles of everything came to since the start. */
  readonly counts = { done: 0, failed: 0, changed: 0, ambiguous: 0 };
  readonly #engine: Engine;
  readonly #controlPlane: ControlPlane;
  readonly #ingest: Pick<Ingest, "openedAt">;
  readonly #logger: Logger;
  readonly #ofAll = new SharedRun((signal) => this.#countedReconcile(signal));
  readonly #ofUsers = new SharedRun((signal) => this.#reconcileUsers(signal));
  // Of those who wait for the next run.
  #userIds = new Set<string>();
  #isDue = false;
  #isStopped = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(engine: Engine, controlPlane: ControlPlane, ingest: Pick<Ingest, "openedAt">, logger: Logger) {
    this.#engine = engine;
    this.#controlPlane = controlPlane;
    this.#ingest = ingest;
    this.#logger = logger;
  }

  /** True from a request until a reconcile that began after it has succeeded. */
  get isDue(): boolean {
    return this.#isDue;
  }

  /** True while everything is being reconciled. */
  get isRunning(): boolean {
    return this.#ofAll.isRunning;
  }

  /**
   * Reconciles everything, beginning after the call. Rejects with `unavailable`; to be repeated then.
   *
   * @param signal makes it reject with its reason. The reconcile stops once all who share it have given up.
   */
  run(signal?: AbortSignal): Promise<ReconcileOutcome> {
    return this.#ofAll.run(signal);
  }

  /** Has everything reconciled soon, once for all who ask within a second, and again until it succeeds. */
  request(): void {
    this.#isDue = true;
    if (!this.#isStopped) this.#timer ??= setTimeout(() => void this.#runDue(), REQUEST_DELAY_MS);
  }

  /** Reconciles one user, together with those who are asked for at the same time. Rejects with `unavailable`. */
  runForUser(userId: string): Promise<void> {
    this.#userIds.add(userId);
    return this.#ofUsers.run();
  }

  /** No requested reconcile begins after it. Idempotent. */
  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
  }

  async #runDue(): Promise<void> {
    this.#timer = undefined;
    try {
      await this.run();
      this.#isDue = this.#timer !== undefined;
    } catch (error) {
      const level = isUnavailable(error) ? "warn" : "error";
      this.#logger[level]({ err: error }, "not reconciled, will try again");
      this.request();
    }
  }

  async #countedReconcile(signal: AbortSignal): Promise<ReconcileOutcome> {
    try {
      const outcome = await this.#reconcileAll(signal);
      this.counts.done++;
      this.counts.changed += outcome.changed;
      this.counts.ambiguous += outcome.ambiguous;
      return outcome;
    } catch (error) {
      // A reconcile that was given up has not failed.
      if (!signal.aborted) this.counts.failed++;
      throw error;
    }
  }

  async #reconcileAll(signal: AbortSignal): Promise<ReconcileOutcome> {
    const { openedAt } = this.#ingest;
    const watermarkId = await this.#controlPlane.openWatermark();
    let logged = 0;
    const outcome = await reconcile(this.#engine, this.#controlPlane, {
      signal,
      onAmbiguous: (userId, reason) => {
        if (++logged <= MAX_AMBIGUOUS_LOGGED) this.#logger.info({ userId, reason }, "user left as it is");
      },
      onOverLimit: this.#sayOverLimit,
    });
    // All before the subscription began is made up for. What came since is vouched for only once it is applied.
    if (openedAt !== undefined) await this.#controlPlane.closeGap(watermarkId, openedAt);
    this.#logger.info(outcome, "reconciled with the control plane's keys");
    return outcome;
  }

  readonly #sayOverLimit: ReconcileOptions["onOverLimit"] = (userId, eventId, limit) => {
    this.#logger.warn({ userId, eventId, limit }, "a limit kept channels of a reconcile out");
  };

  async #reconcileUsers(signal: AbortSignal): Promise<void> {
    const userIds = [...this.#userIds];
    this.#userIds = new Set();
    const onAmbiguous = (userId: string, reason: string) => {
      this.#logger.debug({ userId, reason }, "user left as it is");
    };
    await reconcile(this.#engine, this.#controlPlane, {
      signal,
      userIds,
      onAmbiguous,
      onOverLimit: this.#sayOverLimit,
    });
  }
}
