import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { mayAccess } from "../../../domain/identity.js";
import type { Engine } from "../../../domain/ports/engine.js";
import type { Handlers } from "../call.js";
import { parseIds } from "./convert.js";
import { createToken, parsePage } from "./paging.js";

const MAX_EVENTS = 1_000;

/** The calls of AuditService. The interceptor that records calls is `interceptors/audit.ts`. */
export function createAuditService(engine: Engine): Pick<Handlers, "listAuditEntries"> {
  return {
    async listAuditEntries({ eventIds, ...page }, { identity }) {
      const events = parseIds("event_ids", eventIds, MAX_EVENTS);
      const query = [...events].sort();
      const { after, pageSize } = parsePage(page, query);
      const entries = await engine.listAudit({
        eventIds: events.length === 0 ? undefined : events,
        before: after,
        limit: pageSize,
      });
      const last = entries.length < pageSize ? undefined : entries.at(-1);
      return {
        entries: entries
          .filter(({ eventId }) => mayAccess(identity, eventId))
          .map(({ timeMs, ...entry }) => ({ ...entry, time: timestampFromMs(timeMs) })),
        nextPageToken: last === undefined ? "" : createToken(last.entryId, query),
      };
    },
  };
}
