import type { ServerHttp2Session } from "node:http2";
import { type AddressInfo, createServer } from "node:net";
import type { DescService } from "@bufbuild/protobuf";
import { Server, type ServerDuplexStream, type UntypedServiceImplementation } from "@grpc/grpc-js";
import { HealthImplementation } from "grpc-health-check";
import { SquelchError } from "../../../domain/errors.js";
import { grpcServiceDefinition } from "../../../lib/grpcService.js";
import type { Authenticator } from "../../auth/authenticator.js";
import { splitAddress } from "../../config.js";
import { endIfAbandoned } from "../abandonedSessions.js";
import { MAX_REQUEST_BYTES, services } from "../services.js";
import type { ConnectionLimit, Serving } from "../serving.js";
import { endInTurn, withEndings } from "../streamEndings.js";
import type { TlsFiles } from "../tlsFiles.js";
import { admitting } from "./grpcAdmission.js";
import { createGrpcHandler, headOf } from "./grpcCalls.js";
import { createGrpcCredentials } from "./grpcCredentials.js";
import { createReflection } from "./reflection.js";

/** A connection that does not answer a ping for this long is dead, ms. One that merely reads slowly does answer. */
const KEEPALIVE_TIMEOUT_MS = 20_000;
const KEEPALIVE_INTERVAL_MS = 10_000;
/** The time between the ends of two streams at shutdown, ms; less if they are so many that this took too long. */
const ENDING_INTERVAL_MS = 20;
/** How much of the time for draining may pass until the last stream is ended; the rest is for calls to finish. */
const ENDING_SHARE = 0.5;

/** The gRPC listener. */
export interface GrpcServer {
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

/** Starts to listen. Rejects if the address cannot be bound. */
export async function startGrpcServer(
  address: string,
  connections: ConnectionLimit,
  tls: TlsFiles | undefined,
  authenticator: Authenticator,
  serving: Serving,
): Promise<GrpcServer> {
  const { endings, logger } = serving;
  const server = new Server({
    "grpc.max_receive_message_length": MAX_REQUEST_BYTES,
    "grpc.max_send_message_length": -1,
    "grpc.keepalive_time_ms": KEEPALIVE_INTERVAL_MS,
    "grpc.keepalive_timeout_ms": KEEPALIVE_TIMEOUT_MS,
    interceptors: [admitting(serving)],
    // Nobody reads what it would count of every connection and stream.
    "grpc.enable_channelz": 0,
  });
  const health = new HealthImplementation();

  for (const service of services) server.addService(grpcServiceDefinition(service), implementationOf(service, serving));
  // Whoever probes a replica has no token; the contract is for those who may call.
  health.addToServer(withEndings(server, endings));
  const admit = async (call: ServerDuplexStream<unknown, unknown>) => {
    await authenticator.identify(headOf(call));
  };
  createReflection(services).addToServer(withEndings(server, endings, admit));

  onSession(server, (session) => endIfAbandoned(session, logger));
  // A listener of our own, since that of grpc-js takes any number of connections.
  const injector = server.createConnectionInjector(createGrpcCredentials(tls));
  const listener = createServer({ noDelay: true }, (socket) => {
    // Before it is a session, nobody else listens to what goes wrong.
    socket.on("error", () => socket.destroy());
    injector.injectConnection(socket);
  });
  listener.maxConnections = connections.max;
  listener.on("drop", connections.onRefused);
  const { host, port } = splitAddress(address) as { host: string; port: number };
  await new Promise<void>((resolve, reject) => {
    listener.once("error", reject);
    listener.listen(port, host, resolve);
  });

  return {
    address: address.replace(/:\d+$/, `:${(listener.address() as AddressInfo).port}`),

    setServing(isServing) {
      for (const name of ["", ...services.map(({ typeName }) => typeName)]) {
        health.setStatus(name, isServing ? "SERVING" : "NOT_SERVING");
      }
    },

    async drain(timeoutMs) {
      let timer: NodeJS.Timeout | undefined;
      const closed = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, timeoutMs);
        listener.close();
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

type SessionHandler = (session: ServerHttp2Session) => void;

// grpc-js does not expose its sessions; its version is pinned, and a test fails where another version handles them elsewhere.
function onSession(server: Server, listener: SessionHandler): void {
  const handlers = server as unknown as { _sessionHandler(...args: unknown[]): SessionHandler };
  const createHandler = handlers._sessionHandler.bind(server);
  handlers._sessionHandler = (...args) => {
    const handle = createHandler(...args);
    return (session) => {
      listener(session);
      handle(session);
    };
  };
}

function implementationOf(service: DescService, serving: Serving): UntypedServiceImplementation {
  const served = service.methods.map((method) => [method.localName, createGrpcHandler(method, serving)]);
  return Object.fromEntries(served);
}
