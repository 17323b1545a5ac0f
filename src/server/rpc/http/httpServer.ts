import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { createConnectRouter } from "@connectrpc/connect";
import type { UniversalHandler } from "@connectrpc/connect/protocol";
import {
  compressionGzip,
  universalRequestFromNodeRequest,
  universalResponseToNodeResponse,
} from "@connectrpc/connect-node";
import { type HostPort, parseHostPort } from "../../../lib/hostPort.js";
import { METRICS_CONTENT_TYPE } from "../../ops/metrics.js";
import { ConnectionLimit, type ConnectionRules } from "../connectionLimit.js";
import { MAX_REQUEST_BYTES, REQUEST_TIMEOUT_MS, type Serving } from "../serving.js";
import type { TlsFiles } from "../tlsFiles.js";
import { admitted } from "./httpAdmission.js";
import { addHttpCalls } from "./httpCalls.js";
import { createPlainListener, createTlsListener } from "./httpListener.js";
import { admitOrigin, type OriginRules, refuseHost } from "./httpOrigins.js";
import type { StaticFiles } from "./staticFiles.js";

/** Whether this replica can be used, and the reason if it cannot. */
export type Readiness = { ready: true } | { ready: false; reason: string };

/** The other pages that the HTTP server serves. */
export interface HttpPages {
  readiness(): Readiness;
  metrics(): Promise<string>;
  /** Undefined if the web console is not built. */
  console: StaticFiles | undefined;
}

/** The HTTP listener: the services as Connect and gRPC-Web, health, metrics and the web console. */
export interface HttpServer {
  /** The real address of the listener, host:port. */
  address: string;
  /** Stops accepting connections, lets running answers finish for up to `timeoutMs`, and closes the remaining connections. */
  close(timeoutMs: number): Promise<void>;
}

/** Starts to listen. Rejects if the address cannot be bound. */
export async function startHttpServer(
  address: string,
  connections: ConnectionRules,
  tls: TlsFiles | undefined,
  origins: OriginRules,
  pages: HttpPages,
  serving: Serving,
): Promise<HttpServer> {
  const router = createConnectRouter({
    grpc: false,
    acceptCompression: [compressionGzip],
    readMaxBytes: MAX_REQUEST_BYTES,
  });
  addHttpCalls(router, serving);
  const calls = new Map(router.handlers.map((handler) => [handler.requestPath, handler]));

  const onRequest = (request: IncomingMessage, response: ServerResponse) => {
    const [path = ""] = (request.url ?? "").split("?", 1);
    if (serving.shutdown.hasBegun && request.httpVersionMajor === 1) response.setHeader("connection", "close");
    const call = calls.get(path);
    if (call?.method.methodKind !== "client_streaming") endIfIncomplete(request);
    if (call === undefined) {
      // Health checks may use other host names, because their answers contain nothing that a hostile page could use.
      const refusal = path === "/healthz" || path === "/readyz" ? undefined : refuseHost(request, origins);
      if (refusal === undefined) servePage(path, request, response, pages);
      else answerJson(response, 403, { error: refusal });
      return;
    }
    const refusal = admitOrigin(request, response, origins);
    if (refusal === undefined) void serveCall(call, request, response, serving);
    else if (refusal !== "answered") answerJson(response, 403, { code: "permission_denied", message: refusal });
  };
  const listener =
    tls === undefined ? createPlainListener(onRequest) : createTlsListener(tls, onRequest, serving.logger);
  const { server } = listener;
  server.maxConnections = connections.max;
  server.on("drop", () => connections.onRefused("connections"));
  const limit = new ConnectionLimit(connections);
  server.prependListener("connection", (socket: Socket) => limit.admit(socket));
  const { host, port } = parseHostPort(address) as HostPort;
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, resolve);
  });
  return {
    address: address.replace(/:\d+$/, `:${(server.address() as AddressInfo).port}`),
    close: (timeoutMs) =>
      new Promise((resolve) => {
        const timer = setTimeout(listener.cut, timeoutMs);
        listener.close(() => {
          clearTimeout(timer);
          resolve();
        });
      }),
  };
}

function servePage(path: string, request: IncomingMessage, response: ServerResponse, pages: HttpPages): void {
  if (request.method !== "GET" && request.method !== "HEAD") {
    answerJson(response, 404, { error: `there is no call ${path}` });
  } else if (path === "/healthz") {
    answerJson(response, 200, { alive: true });
  } else if (path === "/readyz") {
    const state = pages.readiness();
    answerJson(response, state.ready ? 200 : 503, state);
  } else if (path === "/metrics") {
    pages.metrics().then(
      (text) => response.writeHead(200, { "content-type": METRICS_CONTENT_TYPE }).end(text),
      (error: unknown) => answerJson(response, 500, { error: `the metrics could not be read: ${error}` }),
    );
  } else if (pages.console === undefined && path === "/") {
    answerJson(response, 404, { error: "the web console is not built; run npm run build" });
  } else if (!pages.console?.(path, request, response)) {
    answerJson(response, 404, { error: "not found; there are /, /healthz, /readyz and /metrics" });
  }
}

async function serveCall(
  call: UniversalHandler,
  request: IncomingMessage,
  response: ServerResponse,
  serving: Serving,
): Promise<void> {
  try {
    const asked = universalRequestFromNodeRequest(request, response, undefined, undefined);
    if (call.method.methodKind !== "unary") setStreamHeaders(response);
    const answer = await call(admitted(call, asked, request, serving));
    await universalResponseToNodeResponse(answer, response);
  } catch (error) {
    // The client has disconnected, or its request is not valid HTTP.
    serving.logger.debug({ err: error, path: call.requestPath }, "call could not be answered");
    if (response.headersSent) response.destroy();
    else answerJson(response, 400, { code: "invalid_argument", message: "the request cannot be understood" });
  }
}

// Closes a connection soon after a client stops in the middle of a request.
function endIfIncomplete(request: IncomingMessage): void {
  const timer = setTimeout(() => request.destroy(), REQUEST_TIMEOUT_MS);
  for (const ending of ["end", "close"]) request.once(ending, () => clearTimeout(timer));
}

// This makes a proxy pass on each message at once. Without it, nginx for example collects 8 KB of an answer.
function setStreamHeaders(response: ServerResponse): void {
  response.setHeader("x-accel-buffering", "no");
  response.setHeader("cache-control", "no-store, no-transform");
}

function answerJson(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { "content-type": "application/json", "x-content-type-options": "nosniff" });
  response.end(`${JSON.stringify(body)}\n`);
}
