import type { DescMethod, DescService } from "@bufbuild/protobuf";
import {
  type handleServerStreamingCall,
  Server,
  ServerCredentials,
  type ServerWritableStream,
  status,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { HealthImplementation } from "grpc-health-check";
import { ChannelService } from "../../../gen/squelch/v1/channel_service_pb.js";
import { PermissionService } from "../../../gen/squelch/v1/permission_service_pb.js";
import { SquelchError } from "../../domain/errors.js";
import { grpcServiceDefinition } from "../../lib/grpcService.js";
import type { Logger } from "../../lib/logger.js";
import type { ServerConfig } from "../config.js";
import type { Hub } from "../feed/hub.js";
import type { WatchSink } from "../feed/watcher.js";
import type { CallMetrics } from "../ops/callMetrics.js";
import type { CatchUp } from "../state/catchUp.js";
import { createAppliedCalls } from "./appliedCalls.js";
import { createChannelService } from "./channelService.js";
import {
  type ClientStreamCall,
  createClientStreamHandler,
  createUnaryHandler,
  createWaitHandler,
  type UnaryCall,
  type WaitCall,
} from "./grpcCalls.js";
import { measured } from "./measuredCall.js";
import type { OpenWatch } from "./openWatch.js";
import { createPermissionService } from "./permissionService.js";
import { createReflection } from "./reflection.js";
import { toStatus } from "./status.js";
import { type Endings, endInTurn, withEndings } from "./streamEndings.js";
import { openWatchChannels } from "./watchChannels.js";
import { openWatch } from "./watchPermissions.js";

/** The largest request, bytes; a larger one is RESOURCE_EXHAUSTED. */
const MAX_REQUEST_BYTES = 4 << 20;
/** A connection that does not answer a ping for this long is dead, ms. One that merely reads slowly does answer. */
const KEEPALIVE_TIMEOUT_MS = 20_000;
const KEEPALIVE_INTERVAL_MS = 10_000;
/** The time between the ends of two streams at shutdown, ms; less if they are so many that this took too long. */
const ENDING_INTERVAL_MS = 20;
/** How much of the time for draining may pass until the last stream is ended; the rest is for calls to finish. */
const ENDING_SHARE = 0.5;

const services = [PermissionService, ChannelService];

/** The gRPC listener. */
export interface GrpcPlane {
  /** host:port it really listens on. */
  address: string;
  /** Answers health checks, for the whole server and each service. */
  setServing(isServing: boolean): void;
  /**
   * Takes no more connections, tells clients to use other replicas, ends the streams in turn with a status that says
   * "reconnect", lets calls finish, and closes; what is not done after `timeoutMs` is cut.
   */
  drain(timeoutMs: number): Promise<void>;
}

/**
 * Starts to listen. Rejects if the address cannot be bound.
 *
 * @param catchUp undefined where no control plane writes beside the calls
 */
export async function startGrpcPlane(
  hub: Hub,
  catchUp: CatchUp | undefined,
  { grpcAddress: address, ...limits }: Pick<ServerConfig, "grpcAddress" | "maxTalkTimeMs">,
  metrics: CallMetrics,
  logger: Logger,
): Promise<GrpcPlane> {
  const server = new Server({
    "grpc.max_receive_message_length": MAX_REQUEST_BYTES,
    "grpc.max_send_message_length": -1,
    "grpc.keepalive_time_ms": KEEPALIVE_INTERVAL_MS,
    "grpc.keepalive_timeout_ms": KEEPALIVE_TIMEOUT_MS,
  });
  const health = new HealthImplementation();
  const endings: Endings = new Set();

  const calls = {
    ...createPermissionService(hub, catchUp),
    ...createAppliedCalls(hub.engine),
    ...createChannelService(hub, limits),
  };
  const { watchPermissions } = PermissionService.method;
  const { watchChannels } = ChannelService.method;
  const watches = {
    watchPermissions: createWatchHandler(watchPermissions, openWatch, hub, endings, metrics, logger),
    watchChannels: createWatchHandler(watchChannels, openWatchChannels, hub, endings, metrics, logger),
  };
  for (const service of services) {
    server.addService(
      grpcServiceDefinition(service),
      implementationOf(service, calls, watches, endings, metrics, logger),
    );
  }
  const endingServer = withEndings(server, endings);
  health.addToServer(endingServer);
  createReflection(services).addToServer(endingServer);

  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync(address, ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    ),
  );

  return {
    address: address.replace(/:\d+$/, `:${port}`),

    setServing(isServing) {
      for (const name of ["", ...services.map(({ typeName }) => typeName)]) {
        health.setStatus(name, isServing ? "SERVING" : "NOT_SERVING");
      }
    },

    async drain(timeoutMs) {
      let timer: NodeJS.Timeout | undefined;
      const closed = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, timeoutMs);
        // Clients must know that this replica is leaving before their streams end, so that they do not come back to it.
        server.tryShutdown((error) => {
          if (error) logger.warn({ err: error }, "draining failed");
          resolve();
        });
      });
      const spreadMs = Math.min(endings.size * ENDING_INTERVAL_MS, timeoutMs * ENDING_SHARE);
      logger.info({ streams: endings.size, spreadMs }, "draining");
      // They are spread already: each may come back at once.
      const error = new SquelchError("unavailable", "the replica is shutting down; reconnect", { retryAfterMs: 0 });
      await endInTurn(endings, error, spreadMs);
      await closed;
      clearTimeout(timer);
      server.forceShutdown();
    },
  };
}

function implementationOf(
  service: DescService,
  calls: object,
  watches: object,
  endings: Endings,
  metrics: CallMetrics,
  logger: Logger,
): UntypedServiceImplementation {
  const served: UntypedServiceImplementation = {};
  for (const method of service.methods) {
    const call = (calls as Record<string, unknown>)[method.localName];
    const watch = (watches as UntypedServiceImplementation)[method.localName];
    if (watch !== undefined) served[method.localName] = watch;
    else if (call === undefined) continue;
    else if (method.methodKind === "client_streaming") {
      const handle = createClientStreamHandler(method, call as ClientStreamCall, endings, logger);
      served[method.localName] = measured(method, handle, metrics);
    } else if (method === PermissionService.method.awaitApplied) {
      const handle = createWaitHandler(method, call as WaitCall, endings, logger);
      served[method.localName] = measured(method, handle, metrics);
    } else {
      served[method.localName] = measured(method, createUnaryHandler(method, call as UnaryCall, logger), metrics);
    }
  }
  return served;
}

type Open<Request> = (hub: Hub, request: Request, sink: WatchSink, fail: (error: unknown) => void) => OpenWatch;

function createWatchHandler<Request extends { eventIds: string[]; routerId?: string }>(
  { name }: DescMethod,
  open: Open<Request>,
  hub: Hub,
  endings: Endings,
  metrics: CallMetrics,
  logger: Logger,
): handleServerStreamingCall<Request, Buffer> {
  return (call: ServerWritableStream<Request, Buffer>) => {
    const { routerId, eventIds } = call.request;
    const log = logger.child({ routerId, peer: call.getPeer() });
    const end = metrics.beginStream(name);
    let watch: OpenWatch | undefined;
    let isOver = false;

    const close = () => {
      if (isOver) return;
      isOver = true;
      endings.delete(fail);
      watch?.close();
      // The client's doing, where nothing has failed.
      end(status.CANCELLED);
      log.info("watch closed");
    };
    const fail = (error: unknown) => {
      if (isOver) return;
      if (!(error instanceof SquelchError)) log.error({ err: error }, "watch failed");
      const failure = toStatus(error);
      end(failure.code);
      close();
      call.emit("error", failure);
    };

    endings.add(fail);
    call.on("cancelled", close);
    call.on("close", close);
    call.on("error", close);
    try {
      const sink = { write: (message: Buffer, done: () => void) => void call.write(message, done) };
      watch = open(hub, call.request, sink, fail);
      log.info({ events: eventIds.length }, "watch opened");
      watch.opened.catch(fail);
    } catch (error) {
      fail(error);
    }
  };
}
