import { isUnavailable } from "../../domain/errors.js";
import type { ControlPlane } from "../../engine/redis/ingest/controlPlane.js";
import type { Logger } from "../../lib/logger.js";
import type { Ingest } from "./ingest.js";
import type { Reconciler } from "./reconciler.js";

/** How often the watermark is raised, ms. */
const RAISE_INTERVAL_MS = 1_000;
/** How long another replica may take to carry the watermark past where this one's subscription began, ms. */
const GAP_PATIENCE_MS = 4_000;
/** Up to this much longer, at random, so that one replica reconciles and the others see it, ms. */
const GAP_JITTER_MS = 2_000;

/**
 * Answers "was anything missed?" for all replicas together. Each raises the watermark as far as it has applied
 * everything, if its unbroken subscription began at or below it. Where nobody can, there was a gap: it is reconciled.
 */
export class Watermark {
  readonly #ingest: Ingest;
  readonly #controlPlane: ControlPlane;
  readonly #reconciler: Reconciler;
  readonly #logger: Logger;
  #timer: NodeJS.Timeout | undefined;
  #isTicking = false;
  #gapDueMs: number | undefined;
  // Where the subscription began that was last found at or below the watermark.
  #reachedFrom: number | undefined;
  #watermark: number | undefined;

  constructor(ingest: Ingest, controlPlane: ControlPlane, reconciler: Reconciler, logger: Logger) {
    this.#ingest = ingest;
    this.#controlPlane = controlPlane;
    this.#reconciler = reconciler;
    this.#logger = logger;
  }

  /**
   * How far the watermark is behind the newest ticket, ms; undefined while the subscription is down and where nobody
   * has raised it yet. Tickets are close to ms of Redis's clock.
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

  /** True unless something may have been missed before the unbroken subscription, or there is none. */
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
      this.#logger[level]({ err: error }, "watermark not raised, will try again");
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
    // 0 where nobody has raised it yet.
    this.#watermark = watermark || undefined;
    this.#reachedFrom = watermark >= openedAt ? openedAt : undefined;
    if (this.#reachedFrom !== undefined) {
      this.#gapDueMs = undefined;
      return;
    }
    this.#gapDueMs ??= performance.now() + GAP_PATIENCE_MS + Math.random() * GAP_JITTER_MS;
    // One that somebody else has asked for may close the gap.
    if (performance.now() < this.#gapDueMs || this.#reconciler.isRunning) return;
    this.#logger.warn({ watermark, openedAt }, "updates may have been missed, reconciling");
    await this.#reconciler.run();
    this.#gapDueMs = undefined;
  }
}
