import { isUnavailable } from "../../domain/errors.js";
import type { Engine } from "../../domain/ports/engine.js";
import type { ControlPlane } from "../../engine/redis/ingest/controlPlane.js";
import type { Logger } from "../../lib/logger.js";
import { SharedRun } from "../../lib/sharedRun.js";
import type { Ingest } from "./ingest.js";
import { type ReconcileOptions, type ReconcileOutcome, reconcile } from "./reconcile.js";

/**
 * How long a request waits so that others can share the reconcile, and a failed reconcile waits before it is repeated,
 * ms.
 */
const REQUEST_DELAY_MS = 1_000;
/** The most users of one reconcile that are logged because the keys gave no clear answer. */
const MAX_AMBIGUOUS_LOGGED = 100;

/**
 * Runs all reconciles of one process: one at a time, shared by all callers that ask for one. A successful reconcile
 * closes the gap before the unbroken subscription, if there is one.
 */
export class Reconciler {
  /** Counts of the reconciles of all users since the start. */
  readonly counts = { done: 0, failed: 0, changed: 0, ambiguous: 0 };
  readonly #engine: Engine;
  readonly #controlPlane: ControlPlane;
  readonly #ingest: Pick<Ingest, "openedAt" | "awaitApplied">;
  readonly #logger: Logger;
  readonly #ofAll = new SharedRun((signal) => this.#countedReconcile(signal));
  readonly #ofUsers = new SharedRun((signal) => this.#reconcileUsers(signal));
  // Users that the next run compares.
  #userIds = new Set<string>();
  #isDue = false;
  // The newest ticket at the newest request.
  #requestedAt = 0;
  #isStopped = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(
    engine: Engine,
    controlPlane: ControlPlane,
    ingest: Pick<Ingest, "openedAt" | "awaitApplied">,
    logger: Logger,
  ) {
    this.#engine = engine;
    this.#controlPlane = controlPlane;
    this.#ingest = ingest;
    this.#logger = logger;
  }

  /** True from a request until a reconcile that began after it has succeeded. */
  get isDue(): boolean {
    return this.#isDue;
  }

  /** True while all users are being reconciled. */
  get isRunning(): boolean {
    return this.#ofAll.isRunning;
  }

  /**
   * Reconciles all users, in a run that begins after the call. Rejects with `unavailable` if Redis cannot be reached;
   * the caller then repeats it.
   *
   * @param signal rejects the call with its reason. The run stops once every caller that shares it has aborted.
   */
  run(signal?: AbortSignal): Promise<ReconcileOutcome> {
    return this.#ofAll.run(signal);
  }

  /**
   * Requests a reconcile of all users, by this or another replica. Requests within one second share one run. It is
   * repeated until it succeeds. Replicas that request one at the same time run it one after the other, and none runs it if
   * another has completed one meanwhile.
   */
  request(): void {
    this.#requestedAt = this.#controlPlane.newestTicket();
    this.#plan();
  }

  #plan(): void {
    this.#isDue = true;
    if (!this.#isStopped) this.#timer ??= setTimeout(() => void this.#runDue(), REQUEST_DELAY_MS);
  }

  /**
   * Reconciles one user, together with the users of concurrent calls. Rejects with `unavailable` if Redis cannot be
   * reached.
   */
  runForUser(userId: string): Promise<void> {
    this.#userIds.add(userId);
    return this.#ofUsers.run();
  }

  /** Stops the reconciler: requested reconciles no longer begin. Idempotent. */
  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
  }

  async #runDue(): Promise<void> {
    this.#timer = undefined;
    try {
      const claim = await this.#controlPlane.claimReconcile(this.#requestedAt);
      if (claim === "wait") return this.#plan();
      if (claim === "claimed") await this.run();
      this.#isDue = this.#timer !== undefined;
    } catch (error) {
      const level = isUnavailable(error) ? "warn" : "error";
      this.#logger[level]({ err: error }, "not reconciled, will retry");
      this.#plan();
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
      // An aborted reconcile does not count as failed.
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
      awaitApplied: (ticket) => this.#ingest.awaitApplied(ticket, signal),
      onAmbiguous: (userId, reason) => {
        if (++logged <= MAX_AMBIGUOUS_LOGGED)
          this.#logger.info({ userId, reason }, "memberships of a user left unchanged");
      },
      onOverLimit: this.#sayOverLimit,
    });
    // Everything before the start of the subscription is repaired. Later updates count only once they are applied.
    if (openedAt !== undefined) await this.#controlPlane.closeGap(watermarkId, openedAt);
    await this.#controlPlane.noteReconciled(outcome.generation);
    this.#logger.info(outcome, "reconciled with the control plane's keys");
    return outcome;
  }

  readonly #sayOverLimit: ReconcileOptions["onOverLimit"] = (userId, eventId, limit) => {
    this.#logger.warn({ userId, eventId, limit }, "channels of a reconcile were not assigned because of a limit");
  };

  async #reconcileUsers(signal: AbortSignal): Promise<void> {
    const userIds = [...this.#userIds];
    this.#userIds = new Set();
    const onAmbiguous = (userId: string, reason: string) => {
      this.#logger.debug({ userId, reason }, "memberships of a user left unchanged");
    };
    await reconcile(this.#engine, this.#controlPlane, {
      signal,
      userIds,
      awaitApplied: (ticket) => this.#ingest.awaitApplied(ticket, signal, userIds),
      onAmbiguous,
      onOverLimit: this.#sayOverLimit,
    });
  }
}
