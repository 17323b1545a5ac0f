import type { DescMethod } from "@bufbuild/protobuf";
import type { ServerConfig } from "../configOptions.js";
import { type MethodName, services } from "../contract.js";
import type { Hub } from "../feed/hub.js";
import type { CatchUp } from "../state/catchUp.js";
import type { Handlers, ServedCall } from "./call.js";
import { createAppliedCalls } from "./calls/appliedCalls.js";
import { createAuditService } from "./calls/auditService.js";
import { createBanService } from "./calls/banService.js";
import { createChannelService } from "./calls/channelService.js";
import { createFleetService } from "./calls/fleetService.js";
import { createPermissionService } from "./calls/permissionService.js";
import { openWatchChannels } from "./calls/watchChannels.js";
import { openWatchPermissions } from "./calls/watchPermissions.js";

/**
 * Builds the calls of all services, without interceptors.
 *
 * @param catchUp undefined if no control plane publishes to this replica
 */
export function implementCalls(
  hub: Hub,
  catchUp: CatchUp | undefined,
  limits: Pick<ServerConfig, "maxTalkTimeMs" | "floorQueueLimit" | "membershipCheck">,
): ReadonlyMap<DescMethod, ServedCall> {
  const handlers: Handlers = {
    ...createPermissionService(hub, catchUp),
    ...createBanService(hub.engine),
    ...createAppliedCalls(hub.engine),
    ...createFleetService(hub, catchUp),
    ...createAuditService(hub.engine),
    ...createChannelService(hub, limits),
    watchPermissions: (...call) => openWatchPermissions(hub, ...call),
    watchChannels: (request, _context, sink) => openWatchChannels(hub, request, sink),
  };
  const methods = services.flatMap((service): DescMethod[] => service.methods);
  return new Map(methods.map((method) => [method, toCall(method, handlers[method.localName as MethodName])]));
}

// `Handlers` guarantees that the handler fits the kind of its method.
function toCall(method: DescMethod, handler: unknown): ServedCall {
  switch (method.methodKind) {
    case "unary":
      return { kind: "unary", handle: handler } as ServedCall;
    case "client_streaming":
      return { kind: "clientStream", handle: handler } as ServedCall;
    case "server_streaming":
      return { kind: "watch", open: handler } as ServedCall;
    case "bidi_streaming":
      throw new Error(`${method.name}: calls that stream in both directions cannot be served yet`);
  }
}
