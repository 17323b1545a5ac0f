import { expectedUntilMs, hasApplied, type RouterProgress } from "../../domain/applied.js";
import type { AppliedStore } from "../../domain/ports/appliedStore.js";
import { openEvent } from "./floor.js";
import type { EventRecord, MemoryState } from "./state.js";

export function createAppliedStore(state: MemoryState): AppliedStore {
  function note(event: EventRecord, progress: RouterProgress, isNews: boolean): void {
    event.routers.set(progress.routerId, progress);
    if (isNews) state.routerListeners.emit(event.eventId, progress);
  }

  return {
    async holdRouter(routerId, eventIds) {
      const nowMs = state.now();
      for (const eventId of eventIds) {
        const event = openEvent(state, eventId);
        const known = event.routers.get(routerId);
        note(event, { routerId, seenMs: nowMs, ...known, heldMs: nowMs }, known === undefined);
      }
    },

    async reportApplied(routerId, cursors) {
      const nowMs = state.now();
      for (const { eventId, epoch, revision } of cursors) {
        const event = state.events.get(eventId);
        if (event === undefined) continue;
        const known = event.routers.get(routerId) ?? { routerId, seenMs: nowMs };
        const head = event.log.position;
        const isFurther = epoch === head.epoch && revision <= head.revision && !hasApplied(known, { epoch, revision });
        const moved = isFurther ? { position: { epoch, revision }, appliedMs: nowMs } : {};
        note(event, { ...known, ...moved, seenMs: nowMs }, isFurther || !event.routers.has(routerId));
      }
    },

    async releaseRouter(routerId, eventIds) {
      for (const eventId of eventIds) {
        const wasKnown = state.events.get(eventId)?.routers.delete(routerId);
        if (wasKnown) state.routerListeners.emit(eventId, { routerId, isGone: true });
      }
    },

    async readRouters(eventId) {
      const nowMs = state.now();
      const event = state.events.get(eventId);
      if (event === undefined) return { nowMs, routers: [] };
      for (const [routerId, router] of event.routers) {
        if (expectedUntilMs(router) <= nowMs) event.routers.delete(routerId);
      }
      return { position: event.log.position, nowMs, routers: [...event.routers.values()] };
    },

    async followRouters(eventId, listener) {
      return state.routerListeners.add(eventId, listener);
    },
  };
}
