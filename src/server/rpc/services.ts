import type { DescMethod } from "@bufbuild/protobuf";
import { ChannelService } from "../../../gen/squelch/v1/channel_service_pb.js";
import { PermissionService } from "../../../gen/squelch/v1/permission_service_pb.js";
import type { ServerConfig } from "../config.js";
import type { Hub } from "../feed/hub.js";
import type { WatchSink } from "../feed/watcher.js";
import type { CatchUp } from "../state/catchUp.js";
import { createAppliedCalls } from "./appliedCalls.js";
import { createAuditCalls } from "./auditCalls.js";
import type { CallContext, WaitContext } from "./callContext.js";
import { createChannelService } from "./channelService.js";
import { createFleetCalls } from "./fleetCalls.js";
import type { OpenWatch } from "./openWatch.js";
import { createPermissionService } from "./permissionService.js";
import { openWatchChannels } from "./watchChannels.js";
import { openWatch } from "./watchPermissions.js";

/** The services that both planes serve. */
export const services = [PermissionService, ChannelService];

/** The largest request, bytes; a larger one is RESOURCE_EXHAUSTED. */
export const MAX_REQUEST_BYTES = 4 << 20;

/** A call that is asked once and answers once. */
export type UnaryCall = (request: unknown, context: CallContext) => Promise<Record<string, unknown>>;

/** A call that answers once something has happened, or when its own time is up. */
export type WaitCall = (request: unknown, context: WaitContext) => Promise<Record<string, unknown>>;

/** A call that reads a stream and then answers once. What the stream throws when it breaks goes through it. */
export type ClientStreamCall = (
  requests: AsyncIterable<unknown>,
  context: CallContext,
) => Promise<Record<string, unknown>>;

/** A call that answers with a stream of encoded messages, until it fails or is closed. */
export type WatchCall = (request: WatchRequest, sink: WatchSink, fail: (error: unknown) => void) => OpenWatch;

/** What the requests of all watches have. */
export interface WatchRequest {
  eventIds: string[];
  routerId?: string;
}

/** How a call is served. */
export type ServedCall =
  | { kind: "unary"; handle: UnaryCall }
  | { kind: "wait"; handle: WaitCall }
  | { kind: "clientStream"; handle: ClientStreamCall }
  | { kind: "watch"; open: WatchCall };

/** Every call of both services that there is. */
export type ServedCalls = ReadonlyMap<DescMethod, ServedCall>;

/**
 * The one implementation of both services; the planes only carry it.
 *
 * @param catchUp undefined where no control plane writes beside the calls
 */
export function createServedCalls(
  hub: Hub,
  catchUp: CatchUp | undefined,
  limits: Pick<ServerConfig, "maxTalkTimeMs" | "floorQueueLimit" | "membershipCheck">,
): ServedCalls {
  const calls = {
    ...createPermissionService(hub, catchUp),
    ...createAppliedCalls(hub.engine),
    ...createFleetCalls(hub),
    ...createAuditCalls(hub.engine),
    ...createChannelService(hub, limits),
  };
  const served = new Map<DescMethod, ServedCall>([
    [PermissionService.method.watchPermissions, watch(hub, openWatch)],
    [ChannelService.method.watchChannels, watch(hub, openWatchChannels)],
    [PermissionService.method.awaitApplied, { kind: "wait", handle: calls.awaitApplied as WaitCall }],
    [
      PermissionService.method.syncEventMembers,
      { kind: "clientStream", handle: calls.syncEventMembers as ClientStreamCall },
    ],
  ]);
  for (const method of services.flatMap(({ methods }) => methods as DescMethod[])) {
    const handle = (calls as Record<string, unknown>)[method.localName];
    if (handle !== undefined && !served.has(method)) served.set(method, { kind: "unary", handle: handle as UnaryCall });
  }
  return served;
}

type Open<Request> = (hub: Hub, request: Request, sink: WatchSink, fail: (error: unknown) => void) => OpenWatch;

function watch<Request extends WatchRequest>(hub: Hub, open: Open<Request>): ServedCall {
  return { kind: "watch", open: (request, sink, fail) => open(hub, request as Request, sink, fail) };
}
