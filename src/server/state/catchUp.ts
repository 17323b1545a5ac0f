import type { Engine } from "../../domain/ports/engine.js";
import type { ReconcileOutcome } from "./reconcile.js";
import type { Reconciler } from "./reconciler.js";
import type { Watermark } from "./watermark.js";

/**
 * Repairs what missed updates of the control plane left outdated. Each method rejects with `unavailable` if Redis
 * cannot be reached.
 */
export interface CatchUp {
  /**
   * Compares all memberships with the control plane's keys, in a run that begins after the call. Rejects with the
   * reason of `signal` when it is aborted. The run then stops too, unless other callers share it.
   */
  reconcile(signal: AbortSignal): Promise<ReconcileOutcome>;
  /** Compares one user in all events with the control plane's key, if updates may have been missed. */
  ensureCurrent(userId: string): Promise<void>;
}

export function createCatchUp(engine: Engine, watermark: Watermark, reconciler: Reconciler): CatchUp {
  return {
    reconcile: (signal) => reconciler.run(signal),

    async ensureCurrent(userId) {
      const isCurrent = engine.feedHealth().healthy && watermark.isReached && !reconciler.isDue;
      if (!isCurrent) await reconciler.runForUser(userId);
    },
  };
}
