import type { DescMethod } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";
import { FloorPriority } from "../../../../gen/squelch/v1/model_pb.js";
import type { AuditRecord } from "../../../domain/audit.js";
import type { MethodName, RequestOf } from "../../contract.js";
import type { AuditTrail } from "../../ops/auditTrail.js";
import type { Interceptor } from "../call.js";
import type { CallHead } from "../callContext.js";
import type { OngoingCall } from "../ongoingCall.js";
import { toStatus } from "../status.js";

/** The subject of a request: the event and the target that it concerns. */
interface Subject {
  eventId?: string | undefined;
  target?: string | undefined;
  detail?: string;
  /** True for the everyday traffic of the floor, which is recorded only if `Recording.withTraffic` is set. */
  isTraffic?: boolean;
}

/**
 * Returns the subject of the requests of each method; undefined for a method that changes nothing. A method without an entry does
 * not compile.
 */
const subjects: { readonly [Name in MethodName]: ((request: RequestOf<Name>) => Subject) | undefined } = {
  watchPermissions: undefined,
  getUserPermissions: undefined,
  setUserChannels: ({ eventId, userId, channelIds }) => ({ eventId, target: userId, detail: channelIds.join(" ") }),
  syncEventMembers: ({ eventId }) => ({ eventId }),
  reconcileMemberships: () => ({}),
  getEventActiveSpeakers: undefined,
  pauseAllSpeakers: ({ eventId, broadcaster, reason }) => ({
    eventId,
    target: broadcaster?.userId ?? "",
    detail: reason,
  }),
  resumeSpeakers: ({ eventId, pauseId }) => ({ eventId, target: pauseId }),
  disconnectUser: ({ eventId, userId, reason }) => ({ eventId, target: userId, detail: reason }),
  banUser: ({ eventId, userId, reason }) => ({ eventId, target: userId, detail: reason }),
  unbanUser: ({ eventId, userId }) => ({ eventId, target: userId }),
  listBans: undefined,
  reportApplied: undefined,
  awaitApplied: undefined,
  getFleetStatus: undefined,
  listAuditEntries: undefined,
  setChannelEvent: ({ eventId, channelId }) => ({ eventId, target: channelId }),
  getChannelEvent: undefined,
  listEventChannels: undefined,
  // A press with a priority above normal can take the floor from others, so it is always recorded.
  startPtt: ({ channelId, userId, priority }) => ({
    target: channelId,
    detail: `${userId} ${FloorPriority[priority] ?? priority}`,
    isTraffic: priority <= FloorPriority.NORMAL,
  }),
  renewPtt: ({ channelId }) => ({ target: channelId, isTraffic: true }),
  stopPtt: ({ channelId }) => ({ target: channelId, isTraffic: true }),
  getChannelState: undefined,
  watchChannels: undefined,
};

/** The longest text of a record. A longer one comes from a request that was refused. */
const MAX_TEXT = 512;

/** The audit trail, and the rules for what it records. */
export interface Recording {
  trail: AuditTrail;
  /** Finds the event of a channel; undefined if the channel belongs to no event. */
  eventOf(channelId: string): Promise<string | undefined>;
  /** Whether the traffic of the floor is recorded, too. */
  withTraffic: boolean;
}

/**
 * Records each call that makes changes when it has ended, with any outcome. A call that changes nothing is recorded
 * only if its caller had no right to make it.
 */
export function audit(recording: Recording): Interceptor {
  return (method, call) => {
    const ofChange = subjects[method.localName as MethodName] as ((request: unknown) => Subject) | undefined;
    const subjectOf = ofChange ?? subjectOfRead;
    const recordEnd = createRecorder(method, ofChange !== undefined, recording);
    switch (call.kind) {
      case "unary":
        return {
          kind: "unary",
          handle: (request, ongoing) => recordEnd(() => subjectOf(request), ongoing, call.handle(request, ongoing)),
        };
      case "clientStream":
        return {
          kind: "clientStream",
          handle(requests, ongoing) {
            let first: unknown;
            const peeked = peekFirst(requests, (request) => {
              first = request;
            });
            const subject = () => (first === undefined ? {} : subjectOf(first));
            return recordEnd(subject, ongoing, call.handle(peeked, ongoing));
          },
        };
      case "watch":
        return {
          kind: "watch",
          open(request, ongoing, sink, fail) {
            const watch = call.open(request, ongoing, sink, fail);
            const opened = recordEnd(() => subjectOf(request), ongoing, watch.opened);
            return { opened, close: () => watch.close() };
          },
        };
    }
  };
}

/** Records a call that was refused because its caller could not be identified. Other errors are not recorded. */
export function recordUnidentified(
  method: DescMethod,
  { callId }: CallHead,
  error: unknown,
  recording: Recording,
): void {
  const { code, details } = toStatus(error);
  if (code !== status.UNAUTHENTICATED) return;
  const record = { actor: "", action: method.name, eventId: "", target: "", callId, detail: clip(details) };
  recording.trail.recordRefusal({ ...record, timeMs: Date.now(), outcome: status[code] });
}

// Finds the subject of a request that changes nothing by the usual names of its fields.
function subjectOfRead(request: unknown): Subject {
  const { eventId, eventIds, userId, channelId } = request as Partial<Record<string, string>> & { eventIds?: string[] };
  // An id may contain spaces, so a list of events must not stand where one event id stands.
  if (eventIds !== undefined && eventIds.length !== 1) return { eventId: "", target: eventIds.join(" ") };
  return { eventId: eventId ?? eventIds?.[0], target: userId ?? channelId };
}

async function* peekFirst(requests: AsyncIterable<unknown>, onFirst: (first: unknown) => void) {
  let isFirst = true;
  for await (const request of requests) {
    if (isFirst) onFirst(request);
    isFirst = false;
    yield request;
  }
}

// Returns a function that passes a result on and writes the record of the call. The caller does not wait for the record.
function createRecorder(method: DescMethod, changesSomething: boolean, recording: Recording) {
  async function record(subject: () => Subject, { actor, callId }: OngoingCall, outcome: string, refusal?: string) {
    const isRefusal = outcome === status[status.PERMISSION_DENIED];
    if (!changesSomething && !isRefusal) return;
    const { eventId, target = "", detail = "", isTraffic = false } = subject();
    if (isTraffic && !recording.withTraffic && !isRefusal) return;
    const entry: AuditRecord = {
      timeMs: Date.now(),
      actor,
      action: method.name,
      // If the request names only a channel, the store knows the event.
      eventId: clip(eventId ?? (target === "" ? "" : ((await recording.eventOf(target).catch(() => "")) ?? ""))),
      target: clip(target),
      outcome,
      callId,
      detail: clip(refusal ?? detail),
    };
    if (isRefusal) recording.trail.recordRefusal(entry);
    else recording.trail.record(entry);
  }

  return async <Result>(subject: () => Subject, ongoing: OngoingCall, work: Promise<Result>): Promise<Result> => {
    try {
      const result = await work;
      void record(subject, ongoing, status[status.OK]);
      return result;
    } catch (error) {
      const { code, details } = toStatus(error);
      void record(subject, ongoing, status[code], details);
      throw error;
    }
  };
}

const clip = (text: string) => (text.length <= MAX_TEXT ? text : `${text.slice(0, MAX_TEXT - 1)}…`);
