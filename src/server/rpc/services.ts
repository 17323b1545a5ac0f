import type { DescMethod } from "@bufbuild/protobuf";
import { ChannelService } from "../../../gen/squelch/v1/channel_service_pb.js";
import { PermissionService } from "../../../gen/squelch/v1/permission_service_pb.js";
import { SquelchError } from "../../domain/errors.js";
import type { Authenticator } from "../auth/authenticator.js";
import type { CallerLimits } from "../auth/callerLimits.js";
import type { ServerConfig } from "../configOptions.js";
import type { Hub } from "../feed/hub.js";
import type { WatchSink } from "../feed/watcher.js";
import type { Tracing } from "../ops/tracing.js";
import type { CatchUp } from "../state/catchUp.js";
import type { Answer, Implementation, WatchRequest } from "./call.js";
import type { CallHead, WaitBounds } from "./callContext.js";
import { createAppliedCalls } from "./calls/appliedCalls.js";
import { createAuditCalls } from "./calls/auditTrailCalls.js";
import { createChannelService } from "./calls/channelService.js";
import { createFleetCalls } from "./calls/fleetCalls.js";
import { createPermissionService } from "./calls/permissionService.js";
import type { OpenWatch } from "./calls/watch.js";
import { openWatchChannels } from "./calls/watchChannels.js";
import { openWatch } from "./calls/watchPermissions.js";
import { audited, type Recording } from "./interceptors/audit.js";
import { authorized } from "./interceptors/authorize.js";
import { identified } from "./interceptors/identify.js";
import { traced } from "./interceptors/trace.js";

/** The services that both planes serve. */
export const services = [PermissionService, ChannelService];

/** The largest request, bytes; a larger one is RESOURCE_EXHAUSTED. */
export const MAX_REQUEST_BYTES = 4 << 20;

/** A call that is asked once and answers once. */
export type UnaryCall = (request: unknown, head: CallHead) => Answer;

/** A call that answers once something has happened, or when its own time is up. */
export type WaitCall = (request: unknown, head: CallHead, bounds: WaitBounds) => Answer;

/** A call that reads a stream and then answers once. What the stream throws when it breaks goes through it. */
export type ClientStreamCall = (requests: AsyncIterable<unknown>, head: CallHead) => Answer;

/** A call that answers with a stream of encoded messages, until it fails or is closed. */
export type WatchCall = (
  request: WatchRequest,
  head: CallHead,
  sink: WatchSink,
  fail: (error: unknown) => void,
) => OpenWatch;

/** How a call is served. */
export type ServedCall =
  | { kind: "unary"; handle: UnaryCall }
  | { kind: "wait"; handle: WaitCall }
  | { kind: "clientStream"; handle: ClientStreamCall }
  | { kind: "watch"; open: WatchCall };

/** How each call of both services is served. */
export type ServedCalls = (method: DescMethod) => ServedCall;

/**
 * The one implementation of both services; the planes only carry it.
 *
 * @param catchUp undefined where no control plane writes beside the calls
 * @returns what is built
 */
export function implementCalls(
  hub: Hub,
  catchUp: CatchUp | undefined,
  limits: Pick<ServerConfig, "maxTalkTimeMs" | "floorQueueLimit" | "membershipCheck">,
): ReadonlyMap<DescMethod, Implementation> {
  const calls: Readonly<Record<string, object>> = {
    ...createPermissionService(hub, catchUp),
    ...createAppliedCalls(hub.engine),
    ...createFleetCalls(hub),
    ...createAuditCalls(hub.engine),
    ...createChannelService(hub, limits),
    watchPermissions: openWatch.bind(undefined, hub),
    watchChannels: openWatchChannels.bind(undefined, hub),
  };
  const implemented = services.flatMap(({ methods }) =>
    (methods as DescMethod[]).flatMap((method) => {
      const call = calls[method.localName];
      return call === undefined ? [] : [[method, implementation(method, call)] as const];
    }),
  );
  return new Map(implemented);
}

/** How the planes serve them: to those who can say who they are and may call, with a record of what they change. */
export function serveCalls(
  implemented: ReadonlyMap<DescMethod, Implementation>,
  authenticator: Authenticator,
  limits: CallerLimits,
  recording: Recording,
  tracing: Tracing | undefined,
): ServedCalls {
  return (method) => {
    const call = implemented.get(method) ?? implementation(method, unimplemented.bind(undefined, method));
    // Who is known but not permitted is recorded too.
    const permitted = audited(method, authorized(method, call, recording.eventOf), recording);
    const served = identified(method, permitted, authenticator, limits, recording);
    return tracing === undefined ? served : traced(method, served, tracing);
  };
}

function implementation(method: DescMethod, call: object): Implementation {
  return { kind: kindOf(method), handle: call, open: call } as unknown as Implementation;
}

function unimplemented({ name }: DescMethod): never {
  throw new SquelchError("unimplemented", `${name} is not served yet`);
}

function kindOf(method: DescMethod): ServedCall["kind"] {
  if (method.methodKind === "server_streaming") return "watch";
  if (method.methodKind === "client_streaming") return "clientStream";
  return method === PermissionService.method.awaitApplied ? "wait" : "unary";
}
