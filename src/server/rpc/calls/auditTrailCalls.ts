import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { SquelchError } from "../../../domain/errors.js";
import { mayAccess } from "../../../domain/identity.js";
import type { Engine } from "../../../domain/ports/engine.js";
import type { Handlers } from "../call.js";
import { parseIds } from "./convert.js";

const DEFAULT_PAGE_SIZE = 100;
const MAX_PAGE_SIZE = 1_000;
const MAX_EVENTS = 1_000;
/** The format of the ids of entries, in the memory engine and in the Redis engine. */
const ENTRY_ID = /^\d{1,20}(-\d{1,20})?$/;

/** The calls that read the audit trail. The interceptor that records calls is `interceptors/audit.ts`. */
export function createAuditTrailCalls(engine: Engine): Pick<Handlers, "listAuditEntries"> {
  return {
    async listAuditEntries({ eventIds, pageSize, pageToken }, { identity }) {
      if (pageSize > MAX_PAGE_SIZE) {
        throw new SquelchError("invalidArgument", `page_size: must be at most ${MAX_PAGE_SIZE}`);
      }
      if (pageToken !== "" && !ENTRY_ID.test(pageToken)) {
        throw new SquelchError("invalidArgument", "page_token: must be a next_page_token of an earlier answer");
      }
      const limit = pageSize || DEFAULT_PAGE_SIZE;
      const events = parseIds("event_ids", eventIds, MAX_EVENTS);
      const entries = await engine.listAudit({
        eventIds: events.length === 0 ? undefined : events,
        before: pageToken || undefined,
        limit,
      });
      return {
        entries: entries
          .filter(({ eventId }) => mayAccess(identity, eventId))
          .map(({ timeMs, ...entry }) => ({ ...entry, time: timestampFromMs(timeMs) })),
        nextPageToken: entries.length < limit ? "" : (entries.at(-1)?.entryId ?? ""),
      };
    },
  };
}
