import { ROUTER_SILENCE_MS, type RouterNews, type RouterProgress } from "../../../domain/applied.js";
import type { AppliedStore } from "../../../domain/ports/appliedStore.js";
import type { Unsubscribe } from "../../../domain/ports/unsubscribe.js";
import type { Subscriber } from "../connection/subscriber.js";
import { eventKeys } from "../keys.js";
import type { RunScript } from "../scripts/scripts.js";

/** A router in the format that `lua/note-router-2.lua` writes. */
interface StoredRouter {
  epoch?: string;
  revision?: number;
  appliedMs?: number;
  seenMs: number;
  heldMs?: number;
}

function parseRouter(routerId: string, stored: StoredRouter): RouterProgress {
  const { epoch, revision = 0, appliedMs, seenMs, heldMs } = stored;
  return { routerId, position: epoch === undefined ? undefined : { epoch, revision }, appliedMs, seenMs, heldMs };
}

function parseNews(json: string): RouterNews {
  const { routerId, isGone, ...stored } = JSON.parse(json) as StoredRouter & { routerId: string; isGone?: true };
  return isGone ? { routerId, isGone } : parseRouter(routerId, stored);
}

/**
 * {@link AppliedStore} on Redis. A report about several events runs one script per event, because each event may live
 * on another node. All scripts are sent in one round trip.
 */
export function createAppliedStore(run: RunScript, subscriber: Subscriber): AppliedStore {
  function note(routerId: string, eventId: string, ...heard: (string | number)[]): Promise<unknown> {
    const { routers, meta, applied } = eventKeys(eventId);
    return run("note-router", [routers, meta], [applied, routerId, ROUTER_SILENCE_MS, ...heard]);
  }

  return {
    async holdRouter(routerId, eventIds) {
      await Promise.all(eventIds.map((eventId) => note(routerId, eventId, "held")));
    },

    async reportApplied(routerId, cursors) {
      await Promise.all(
        cursors.map(({ eventId, epoch, revision }) => note(routerId, eventId, "applied", epoch, revision)),
      );
    },

    async releaseRouter(routerId, eventIds) {
      await Promise.all(eventIds.map((eventId) => note(routerId, eventId, "gone")));
    },

    async readRouters(eventId) {
      const { routers, meta } = eventKeys(eventId);
      const [nowMs, epoch, revision, entries] = (await run("read-routers", [routers, meta], [])) as [
        number,
        string | null,
        string | null,
        string[],
      ];
      const found: RouterProgress[] = [];
      for (let index = 0; index < entries.length; index += 2) {
        found.push(parseRouter(entries[index] as string, JSON.parse(entries[index + 1] as string)));
      }
      const position = epoch === null ? undefined : { epoch, revision: Number(revision) };
      return { position, nowMs, routers: found };
    },

    followRouters(eventId, listener): Promise<Unsubscribe> {
      return subscriber.subscribe(eventKeys(eventId).applied, (message) => listener(parseNews(message.toString())));
    },
  };
}
