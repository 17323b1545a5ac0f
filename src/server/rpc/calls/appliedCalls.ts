import type { MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { AppliedOutcome, type RouterProgressSchema } from "../../../../gen/squelch/v1/fleet_service_pb.js";
import type { RouterProgress } from "../../../domain/applied.js";
import { invalidField } from "../../../domain/errors.js";
import { MAX_ID_BYTES, parseId } from "../../../domain/id.js";
import type { Engine } from "../../../domain/ports/engine.js";
import { toCursorMessage } from "../../feed/wire/messages.js";
import type { Handlers } from "../call.js";
import { awaitApplied } from "./awaitApplied.js";
import { parseCount, parseCursors, parseDuration, parseText } from "./convert.js";

const MAX_REPORTED_EVENTS = 1_000;
const DEFAULT_WAIT_MS = 5_000;
const MAX_WAIT_MS = 60_000;

/** The calls about what routers have applied. */
export function createAppliedCalls(engine: Engine): Pick<Handlers, "reportApplied" | "awaitApplied"> {
  return {
    async reportApplied(request) {
      const routerId = parseText("router_id", request.routerId, MAX_ID_BYTES);
      if (routerId === "") throw invalidField("router_id", "must not be empty");
      if (request.cursors.length > MAX_REPORTED_EVENTS) {
        throw invalidField("cursors", `must have at most ${MAX_REPORTED_EVENTS} entries`);
      }
      const cursors = [...parseCursors("cursors", request.cursors).values()];
      if (request.leaving) {
        await engine.releaseRouter(
          routerId,
          cursors.map(({ eventId }) => eventId),
        );
      } else await engine.reportApplied(routerId, cursors);
      return {};
    },

    async awaitApplied(request, { answerBeforeMs, signal }) {
      const change = {
        eventId: parseId("event_id", request.eventId),
        revision: parseCount("revision", request.revision),
        epoch: parseText("epoch", request.epoch, MAX_ID_BYTES) || undefined,
      };
      if (change.revision > 0 && change.epoch === undefined) {
        throw invalidField("epoch", "must be given with a revision; the answer of the write has both");
      }
      const timeoutMs = parseDuration("timeout", request.timeout, 0, MAX_WAIT_MS) ?? DEFAULT_WAIT_MS;
      const untilMs = Math.min(performance.now() + timeoutMs, answerBeforeMs);
      const { applied, missing, position, changedMs } = await awaitApplied(engine, change, untilMs, signal);
      const { eventId } = change;
      return {
        cursor: toCursorMessage(eventId, position),
        outcome: outcomeOf(applied, missing),
        applied: applied.map((router) => {
          const { appliedMs } = router;
          const isKnown = changedMs !== undefined && appliedMs !== undefined;
          // A clock that was set back must not make the time negative.
          const appliedAfter = isKnown ? durationFromMs(Math.max(appliedMs - changedMs, 0)) : undefined;
          return { ...toProgressMessage(eventId, router), ...(appliedAfter && { appliedAfter }) };
        }),
        missing: missing.map((router) => toProgressMessage(eventId, router)),
      };
    },
  };
}

function outcomeOf(applied: readonly RouterProgress[], missing: readonly RouterProgress[]): AppliedOutcome {
  if (missing.length > 0) return AppliedOutcome.SOME_MISSING;
  return applied.length > 0 ? AppliedOutcome.ALL : AppliedOutcome.NO_ROUTERS;
}

function toProgressMessage(eventId: string, router: RouterProgress): MessageInitShape<typeof RouterProgressSchema> {
  const { routerId, position, seenMs } = router;
  return {
    routerId,
    lastSeen: timestampFromMs(seenMs),
    ...(position && { cursor: toCursorMessage(eventId, position) }),
  };
}
