import { createServer, type RequestListener, type Server } from "node:http";
import {
  createSecureServer,
  type Http2SecureServer,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type ServerHttp2Session,
} from "node:http2";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { Logger } from "../../../lib/logger.js";
import { endIfAbandoned } from "../abandonedSessions.js";
import { CertifiedConnections } from "../certifiedConnections.js";
import { HANDSHAKE_TIMEOUT_MS, type TlsFiles } from "../tlsFiles.js";

/** How long a client may take to send the headers of a request, ms. */
const HEADERS_TIMEOUT_MS = 10_000;
/** How long a connection of HTTP/2 may stay open without a call, ms. Node.js closes idle connections of HTTP/1.1 earlier. */
const IDLE_TIMEOUT_MS = 10_000;
/** The interval between checks for connections that have exceeded these times, ms. */
const CHECKING_INTERVAL_MS = 2_000;

/** A listener for HTTP, with or without TLS. */
export interface HttpListener {
  server: Server | Http2SecureServer;
  /** Stops accepting connections, closes idle ones, and calls back when none is left. */
  close(done: () => void): void;
  /** Closes all connections at once. */
  cut(): void;
}

/** Creates a listener for HTTP/1.1 without TLS. */
export function createPlainListener(onRequest: RequestListener): HttpListener {
  const server = createServer(
    { headersTimeout: HEADERS_TIMEOUT_MS, connectionsCheckingInterval: CHECKING_INTERVAL_MS, keepAlive: true },
    onRequest,
  );
  return { server, close: (done) => void server.close(done), cut: () => server.closeAllConnections() };
}

/**
 * Creates a listener for HTTP/2 over TLS, and for HTTP/1.1 with clients that do not know HTTP/2. A client without a certificate
 * may connect, because it may have a token.
 */
export function createTlsListener(tls: TlsFiles, onRequest: RequestListener, logger: Logger): HttpListener {
  const server = createSecureServer({
    ...tls.context,
    allowHTTP1: true,
    requestCert: tls.asksForCertificates,
    rejectUnauthorized: false,
    handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
  });
  // Requests and responses of HTTP/2 have the interface of those of HTTP/1.1.
  server.on("request", onRequest as unknown as (request: Http2ServerRequest, response: Http2ServerResponse) => void);
  tls.onRenewal((context) => server.setSecureContext(context));
  const certified = new CertifiedConnections(tls);
  const sockets = new Set<Socket>();
  const sessions = new Set<ServerHttp2Session>();
  server.on("secureConnection", (socket: TLSSocket) => {
    sockets.add(socket);
    certified.add(socket, () => socket.destroy());
    socket.on("error", () => socket.destroy());
    socket.once("close", () => sockets.delete(socket));
  });
  // This server takes these times as properties, not as options. They hold for HTTP/1.1 only.
  Object.assign(server, {
    headersTimeout: HEADERS_TIMEOUT_MS,
    connectionsCheckingInterval: CHECKING_INTERVAL_MS,
  });
  server.on("session", (session) => {
    sessions.add(session);
    endWhenIdle(session);
    endIfAbandoned(session, logger);
    session.once("close", () => sessions.delete(session));
  });
  return {
    server,
    close(done) {
      server.close(done);
      certified.close();
      for (const session of sessions) session.close();
    },
    cut() {
      for (const socket of sockets) socket.destroy();
    },
  };
}

// A connection with a stream stays, even if the stream is silent or its client reads slowly.
function endWhenIdle(session: ServerHttp2Session): void {
  let streams = 0;
  session.on("stream", (stream) => {
    streams++;
    stream.once("close", () => streams--);
  });
  session.setTimeout(IDLE_TIMEOUT_MS, () => {
    if (streams === 0) session.destroy();
  });
}
