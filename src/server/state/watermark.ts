import { isUnavailable } from "../../domain/errors.js";
import type { ControlPlane } from "../../engine/redis/ingest/controlPlane.js";
import type { Logger } from "../../lib/logger.js";
import type { Ingest } from "./ingest.js";
import type { Reconciler } from "./reconciler.js";

/** The interval at which the watermark is raised, ms. */
const RAISE_INTERVAL_MS = 1_000;
/**
 * The longest time that other replicas may take to raise the watermark to the start of this replica's subscription, ms.
 */
const GAP_PATIENCE_MS = 4_000;
/** The longest random delay that is added, so that one replica reconciles and the others notice it, ms. */
const GAP_JITTER_MS = 2_000;

/**
 * Detects for all replicas together whether an update was missed. A replica raises the watermark to the last ticket
 * before which it has applied every update, if its unbroken subscription began at or below the watermark. If no replica
 * can raise it, there was a gap, and a reconcile repairs it.
 */
export class Watermark {
  readonly #ingest: Ingest;
  readonly #controlPlane: ControlPlane;
  readonly #reconciler: Reconciler;
  readonly #logger: Logger;
  #timer: NodeJS.Timeout | undefined;
  #isTicking = false;
  #gapDueMs: number | undefined;
  // Start of the last subscription that began at or below the watermark.
  #reachedFrom: number | undefined;
  #watermark: number | undefined;

  constructor(ingest: Ingest, controlPlane: ControlPlane, reconciler: Reconciler, logger: Logger) {
    this.#ingest = ingest;
    this.#controlPlane = controlPlane;
    this.#reconciler = reconciler;
    this.#logger = logger;
  }

  /**
   * The distance of the watermark from the newest ticket, ms. Undefined while the subscription is down and until a
   * replica has raised the watermark. Tickets are close to the ms of Redis's clock.
   */
  get lagMs(): number | undefined {
    const { newestTicket } = this.#ingest;
    return newestTicket === undefined || this.#watermark === undefined ? undefined : newestTicket - this.#watermark;
  }

  start(): void {
    this.#timer = setInterval(() => void this.#tick(), RAISE_INTERVAL_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** True if no update can have been missed before the unbroken subscription. False while there is no subscription. */
  get isReached(): boolean {
    return this.#reachedFrom !== undefined && this.#reachedFrom === this.#ingest.openedAt;
  }

  async #tick(): Promise<void> {
    if (this.#isTicking) return;
    this.#isTicking = true;
    try {
      await this.#raise();
    } catch (error) {
      const level = isUnavailable(error) ? "debug" : "error";
      this.#logger[level]({ err: error }, "watermark not raised, will retry");
    } finally {
      this.#isTicking = false;
    }
  }

  async #raise(): Promise<void> {
    const { openedAt } = this.#ingest;
    if (openedAt === undefined) {
      this.#gapDueMs = undefined;
      return;
    }
    const appliedThrough = this.#ingest.appliedThrough() ?? openedAt;
    const watermark = await this.#controlPlane.raiseWatermark(openedAt, appliedThrough);
    // 0 until a replica has raised it.
    this.#watermark = watermark || undefined;
    this.#reachedFrom = watermark >= openedAt ? openedAt : undefined;
    if (this.#reachedFrom !== undefined) {
      this.#gapDueMs = undefined;
      return;
    }
    this.#gapDueMs ??= performance.now() + GAP_PATIENCE_MS + Math.random() * GAP_JITTER_MS;
    // A reconcile that another caller has requested may close the gap.
    if (performance.now() < this.#gapDueMs || this.#reconciler.isRunning) return;
    this.#logger.warn({ watermark, openedAt }, "updates may have been missed, reconciling");
    await this.#reconciler.run();
    this.#gapDueMs = undefined;
  }
}
