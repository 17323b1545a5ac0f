import type { Engine } from "../../domain/ports/engine.js";
import type { ReconcileOutcome } from "./reconcile.js";
import type { Reconciler } from "./reconciler.js";
import type { Watermark } from "./watermark.js";

/** What a replica can do about updates of the control plane that were missed. Each rejects with `unavailable`. */
export interface CatchUp {
  /**
   * Compares everything with the control plane's keys, beginning after the call. Rejects with the reason of `signal` when it is
   * aborted; the comparison stops then, unless it is shared with others.
   */
  reconcile(signal: AbortSignal): Promise<ReconcileOutcome>;
  /** Compares one user in all events with the control plane's key, if something may have been missed. */
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
