import type { DescMethod, DescService, MessageShape } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";
import { ChannelService } from "../../../../gen/squelch/v1/channel_service_pb.js";
import { FloorPriority } from "../../../../gen/squelch/v1/model_pb.js";
import { PermissionService } from "../../../../gen/squelch/v1/permission_service_pb.js";
import type { AuditRecord } from "../../../domain/audit.js";
import type { AuditTrail } from "../../ops/auditTrail.js";
import type { Implementation } from "../call.js";
import type { CallContext, CallHead, WaitContext } from "../callContext.js";
import { toStatus } from "../status.js";

/** What a request is about. */
interface Subject {
  eventId?: string | undefined;
  target?: string | undefined;
  detail?: string;
  /** The floor's traffic, which is recorded only where that is asked for. */
  isTraffic?: boolean;
}

/** By call, what its request is about; undefined for a call that changes nothing. */
type Subjects<Service extends DescService> = {
  [Name in keyof Service["method"]]: ((request: MessageShape<Service["method"][Name]["input"]>) => Subject) | undefined;
};

// What is added to the contract has to be added here: the compiler asks for it.
const permissionSubjects: Subjects<typeof PermissionService> = {
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
};
const channelSubjects: Subjects<typeof ChannelService> = {
  setChannelEvent: ({ eventId, channelId }) => ({ eventId, target: channelId }),
  getChannelEvent: undefined,
  listEventChannels: undefined,
  // Whoever may take the floor from others answers for it.
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

function byMethod(service: DescService, ofCalls: object) {
  const named = ofCalls as Record<string, ((request: unknown) => Subject) | undefined>;
  return service.methods.map((method) => [method as DescMethod, named[method.localName]] as const);
}

const subjects = new Map([
  ...byMethod(PermissionService, permissionSubjects),
  ...byMethod(ChannelService, channelSubjects),
]);

/** The longest text of a record; what is longer comes from a request that was refused. */
const MAX_TEXT = 512;

/** What the recording of calls needs. */
export interface Recording {
  trail: AuditTrail;
  /** The event of a channel, or undefined. */
  eventOf(channelId: string): Promise<string | undefined>;
  /** Whether the floor's traffic is recorded too. */
  withTraffic: boolean;
}

/**
 * The same call; one that changes something is recorded when it has ended, whatever came of it, any other if its caller
 * was not permitted to make it.
 */
export function audited(method: DescMethod, call: Implementation, recording: Recording): Implementation {
  const subjectOf = subjects.get(method) ?? subjectOfRead;
  switch (call.kind) {
    case "unary":
    case "wait":
      return {
        ...call,
        handle: (request: unknown, context: WaitContext) =>
          recordEnd(method, () => subjectOf(request), context, recording, call.handle(request, context)),
      };
    case "clientStream":
      return {
        kind: "clientStream",
        handle(requests, context) {
          let first: unknown;
          const peeked = peekFirst(requests, (request) => {
            first = request;
          });
          const about = () => (first === undefined ? {} : subjectOf(first));
          return recordEnd(method, about, context, recording, call.handle(peeked, context));
        },
      };
    case "watch":
      return {
        kind: "watch",
        open(request, context, sink, fail) {
          const watch = call.open(request, context, sink, fail);
          const opened = recordEnd(method, () => subjectOf(request), context, recording, watch.opened);
          return { ...watch, opened };
        },
      };
  }
}

/** Records that somebody was turned away who could not say who they are. */
export function recordUnidentified(
  method: DescMethod,
  { requestId }: CallHead,
  error: unknown,
  recording: Recording,
): void {
  const { code, details } = toStatus(error);
  if (code !== status.UNAUTHENTICATED) return;
  const record = { actor: "", action: method.name, eventId: "", target: "", requestId, detail: clip(details) };
  recording.trail.recordRefusal({ ...record, timeMs: Date.now(), outcome: status[code] });
}

// What a call that changes nothing is about, as far as its fields have the usual names.
function subjectOfRead(request: unknown): Subject {
  const { eventId, eventIds, userId, channelId } = request as Partial<Record<string, string>> & { eventIds?: string[] };
  // An id may have spaces: several in one place could be taken for another.
  if (eventIds !== undefined && eventIds.length !== 1) return { eventId: "", target: eventIds.join(" ") };
  return { eventId: eventId ?? eventIds?.[0], target: userId ?? channelId };
}

async function* peekFirst(requests: AsyncIterable<unknown>, tell: (first: unknown) => void) {
  let isFirst = true;
  for await (const request of requests) {
    if (isFirst) tell(request);
    isFirst = false;
    yield request;
  }
}

async function recordEnd<Result>(
  method: DescMethod,
  about: () => Subject,
  context: CallContext,
  recording: Recording,
  work: Promise<Result>,
): Promise<Result> {
  const changesNothing = subjects.get(method) === undefined;
  const record = async (outcome: string, refusal?: string) => {
    const isRefusal = outcome === status[status.PERMISSION_DENIED];
    if (changesNothing && !isRefusal) return;
    const { eventId, target = "", detail = "", isTraffic = false } = about();
    if (isTraffic && !recording.withTraffic && !isRefusal) return;
    const entry: AuditRecord = {
      timeMs: Date.now(),
      actor: context.actor,
      action: method.name,
      // A call that names a channel alone is of the channel's event, where the store can tell.
      eventId: clip(eventId ?? (target === "" ? "" : ((await recording.eventOf(target).catch(() => "")) ?? ""))),
      target: clip(target),
      outcome,
      requestId: context.requestId,
      detail: clip(refusal ?? detail),
    };
    if (isRefusal) recording.trail.recordRefusal(entry);
    else recording.trail.record(entry);
  };
  try {
    const result = await work;
    void record(status[status.OK]);
    return result;
  } catch (error) {
    const { code, details } = toStatus(error);
    void record(status[code], details);
    throw error;
  }
}

const clip = (text: string) => (text.length <= MAX_TEXT ? text : `${text.slice(0, MAX_TEXT - 1)}…`);
