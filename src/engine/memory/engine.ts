import { DEFAULT_AUDIT_LENGTH } from "../../domain/audit.js";
import { DEFAULT_EVENT_LIMITS, type EventLimits } from "../../domain/eventLimits.js";
import type { Engine } from "../../domain/ports/engine.js";
import { createLogger, type Logger } from "../../lib/logger.js";
import { createAppliedStore } from "./appliedStore.js";
import { createAuditStore } from "./auditStore.js";
import { createBanStore } from "./banStore.js";
import { createChannelIndex } from "./channelIndex.js";
import { createFleetStore } from "./fleetStore.js";
import { createFloorStore } from "./floorStore.js";
import { createLogStore } from "./logStore.js";
import { createMembershipStore } from "./membershipStore.js";
import { createPauseStore } from "./pauseStore.js";
import { MemoryState } from "./state.js";

/**
 * An engine for one process that keeps everything in memory and loses it when the process ends. Each call is one
 * atomic step; nothing is ever unavailable.
 *
 * @param options.now the clock, ms since 1970; the system's by default
 * @param options.logger logs errors that listeners throw
 * @param options.auditLength how many entries the audit trail keeps
 * @param options.limits the limits of each event; {@link DEFAULT_EVENT_LIMITS} by default
 */
export function createMemoryEngine(
  options: { now?: () => number; logger?: Logger; auditLength?: number; limits?: EventLimits } = {},
): Engine {
  const {
    now = Date.now,
    logger = createLogger("MemoryEngine"),
    auditLength = DEFAULT_AUDIT_LENGTH,
    limits = DEFAULT_EVENT_LIMITS,
  } = options;
  const state = new MemoryState(now, logger, limits);
  return {
    hasLegacyRouters: false,
    ...createLogStore(state),
    ...createMembershipStore(state),
    ...createChannelIndex(state),
    ...createFloorStore(state),
    ...createPauseStore(state),
    ...createBanStore(state),
    ...createAppliedStore(state),
    ...createFleetStore(state),
    ...createAuditStore(auditLength),
    async start() {
      // Nothing to connect to.
    },
    async close() {
      state.entryListeners.clear();
      state.eventListeners.clear();
      state.speakerListeners.clear();
      state.routerListeners.clear();
      state.floorListeners.clear();
      state.pauseListeners.clear();
      state.banListeners.clear();
    },
    feedHealth: () => ({ healthy: true, ageMs: 0 }),
    onFeedRestored: () => () => {
      // Never called back: nothing can interrupt the feed of a single process.
    },
    onPause: (listener) => state.pauseListeners.add("", listener),
  };
}
