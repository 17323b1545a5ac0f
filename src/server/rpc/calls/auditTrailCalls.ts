import type { MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { PermissionService } from "../../../../gen/squelch/v1/permission_service_pb.js";
import { SquelchError } from "../../../domain/errors.js";
import { mayAccess } from "../../../domain/identity.js";
import type { Engine } from "../../../domain/ports/engine.js";
import type { CallContext } from "../callContext.js";
import { parseIds } from "./convert.js";

type Method = (typeof PermissionService)["method"]["listAuditEntries"];

/** The calls about the audit trail. */
export interface AuditCalls {
  listAuditEntries(
    request: MessageShape<Method["input"]>,
    context: Pick<CallContext, "identity">,
  ): Promise<MessageInitShape<Method["output"]>>;
}

const DEFAULT_PAGE_SIZE = 100;
const MAX_PAGE_SIZE = 1_000;
const MAX_EVENTS = 1_000;
/** The id of an entry in either engine. */
const ENTRY_ID = /^\d{1,20}(-\d{1,20})?$/;

export function createAuditCalls(engine: Engine): AuditCalls {
  return {
    async listAuditEntries({ eventIds, pageSize, pageToken }, { identity }) {
      if (pageSize > MAX_PAGE_SIZE) {
        throw new SquelchError("invalidArgument", `page_size: must be at most ${MAX_PAGE_SIZE}`);
      }
      if (pageToken !== "" && !ENTRY_ID.test(pageToken)) {
        throw new SquelchError("invalidArgument", "page_token: is not one that an answer has had");
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
