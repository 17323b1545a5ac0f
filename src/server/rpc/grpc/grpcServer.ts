import type { ServerHttp2Session } from "node:http2";
import { type AddressInfo, createServer } from "node:net";
import type { TLSSocket } from "node:tls";
import type { DescService } from "@bufbuild/protobuf";
import { Server, type ServerDuplexStream, type UntypedServiceImplementation } from "@grpc/grpc-js";
import { grpcServiceDefinition } from "../../../lib/grpcService.js";
import { type HostPort, parseHostPort } from "../../../lib/hostPort.js";
import type { Authenticator } from "../../auth/authenticator.js";
import { services } from "../../contract.js";
import { endIfAbandoned } from "../abandonedSessions.js";
import { CertifiedConnections } from "../certifiedConnections.js";
import { ConnectionLimit, type ConnectionRules } from "../connectionLimit.js";
import { MAX_REQUEST_BYTES, type Serving } from "../serving.js";
import type { TlsFiles } from "../tlsFiles.js";
import { admitting, headOf } from "./grpcAdmission.js";
import { createGrpcHandler } from "./grpcCalls.js";
import { createGrpcCredentials } from "./grpcCredentials.js";
import { endSession, GrpcSessions } from "./grpcSessions.js";
import { Health } from "./health.js";
import { createReflection } from "./reflection.js";
import { withEndings } from "./withEndings.js";

/** A connection that does not answer a ping for this long is dead, ms. A connection that only reads slowly does answer. */
const KEEPALIVE_TIMEOUT_MS = 20_000;
const KEEPALIVE_INTERVAL_MS = 10_000;
/** A connection without a call for this long is closed, ms. A client connects again with its next call. */
const IDLE_TIMEOUT_MS = 300_000;

/** The gRPC listener. */
export interface GrpcServer {
  /** The real address of the listener, host:port. */
  address: string;
  /** Sets the answer of health checks, for the whole server and for each service. */
  setServing(isServing: boolean): void;
  /**
   * Stops accepting connections, sends clients to other replicas for new calls, and lets calls finish for up to
   * `timeoutMs`. Then it closes all connections.
   */
  close(timeoutMs: number): Promise<void>;
}

/** The limits of the gRPC listener for all connections and for each. */
export interface GrpcConnectionRules extends ConnectionRules {
  /** How many calls may be open on one connection. */
  maxStreams: number;
  /** True if every caller needs a token or a certificate. */
  mustIdentify: boolean;
}

/** Starts to listen. Rejects if the address cannot be bound. */
export async function startGrpcServer(
  address: string,
  connections: GrpcConnectionRules,
  tls: TlsFiles | undefined,
  authenticator: Authenticator,
  serving: Serving,
): Promise<GrpcServer> {
  const { logger } = serving;
  const { endings } = serving.shutdown;
  const sessions = new GrpcSessions(connections.mustIdentify);
  const certified = tls && new CertifiedConnections(tls);
  const server = new Server({
    "grpc.max_receive_message_length": MAX_REQUEST_BYTES,
    "grpc.max_send_message_length": -1,
    "grpc.keepalive_time_ms": KEEPALIVE_INTERVAL_MS,
    "grpc.keepalive_timeout_ms": KEEPALIVE_TIMEOUT_MS,
    "grpc.max_connection_idle_ms": IDLE_TIMEOUT_MS,
    "grpc.max_concurrent_streams": connections.maxStreams,
    interceptors: [admitting(serving, (peer) => sessions.identified(peer))],
    // This turns off counts of connections and streams, which are not used.
    "grpc.enable_channelz": 0,
  });
  const health = new Health(services);

  for (const service of services) server.addService(grpcServiceDefinition(service), implementationOf(service, serving));
  // Probes have no token, so health needs none. Reflection shows the contract to callers who have one.
  health.addToServer(withEndings(server, endings));
  const admit = async (call: ServerDuplexStream<unknown, unknown>) => {
    await authenticator.identify(headOf(call));
  };
  createReflection(services).addToServer(withEndings(server, endings, admit));

  onSession(server, (session) => {
    endIfAbandoned(session, logger);
    sessions.watch(session);
    certified?.add(session.socket as TLSSocket, () => endSession(session));
  });
  // The listener of grpc-js accepts any number of connections, so this listener replaces it.
  const injector = server.createConnectionInjector(createGrpcCredentials(tls));
  const limit = new ConnectionLimit(connections);
  const listener = createServer({ noDelay: true }, (socket) => {
    // Before the socket is a session it has no other listener, and an error without a listener ends the process.
    socket.on("error", () => socket.destroy());
    if (!limit.admit(socket)) return;
    injector.injectConnection(socket);
  });
  listener.maxConnections = connections.max;
  listener.on("drop", () => connections.onRefused("connections"));
  const { host, port } = parseHostPort(address) as HostPort;
  await new Promise<void>((resolve, reject) => {
    listener.once("error", reject);
    listener.listen(port, host, resolve);
  });

  return {
    address: address.replace(/:\d+$/, `:${(listener.address() as AddressInfo).port}`),

    setServing: (isServing) => health.setServing(isServing),

    async close(timeoutMs) {
      let timer: NodeJS.Timeout | undefined;
      await new Promise<void>((resolve) => {
        timer = setTimeout(resolve, timeoutMs);
        listener.close();
        server.tryShutdown((error) => {
          if (error) logger.warn({ err: error }, "draining failed");
          resolve();
        });
      });
      clearTimeout(timer);
      server.forceShutdown();
      sessions.close();
      certified?.close();
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
