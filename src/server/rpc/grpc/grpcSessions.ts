import { constants, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import type { TLSSocket } from "node:tls";
import { services } from "../../contract.js";
import { REQUEST_TIMEOUT_MS } from "../serving.js";
import { HEALTH_PATH, MAX_HEALTH_REQUEST_BYTES } from "./health.js";

/** How long the client of a connection may take to show a token or a certificate, ms. */
const IDENTIFY_TIMEOUT_MS = 10_000;
/** How long the calls on a connection may take to end when the server closes it, ms. */
const LEAVE_TIMEOUT_MS = 1_000;
/** The interval between checks of incomplete requests, ms. */
const CHECK_INTERVAL_MS = 1_000;
/** The length of the prefix of a gRPC message: one byte for compression, four for the length. */
const MESSAGE_PREFIX_BYTES = 5;

/** Calls in which a client may send messages over any time. */
const STREAMED_REQUESTS = new Set(
  services.flatMap(({ typeName, methods }) =>
    methods
      .filter(({ methodKind }) => methodKind === "client_streaming" || methodKind === "bidi_streaming")
      .map(({ name }) => `/${typeName}/${name}`),
  ),
);
const REFLECTION_PATH = "/grpc.reflection.";

/** Limits the time and the bytes of a gRPC connection until its client has identified itself. */
export class GrpcSessions {
  readonly #mustIdentify: boolean;
  /** Timers that end the connections of unidentified clients, by host:port of the client. */
  readonly #strangers = new Map<string, NodeJS.Timeout>();
  /** The calls with an incomplete request, oldest first. The value is the deadline of the request, ms. */
  readonly #incomplete = new Map<ServerHttp2Stream, number>();
  readonly #timer: NodeJS.Timeout;

  /** @param mustIdentify true if every caller needs a token or a certificate */
  constructor(mustIdentify: boolean) {
    this.#mustIdentify = mustIdentify;
    this.#timer = setInterval(() => this.#endIncomplete(), CHECK_INTERVAL_MS).unref();
  }

  /** Watches a new connection until it closes. */
  watch(session: ServerHttp2Session): void {
    if (this.#mustIdentify && !(session.socket as TLSSocket).authorized) this.#awaitIdentity(session);
    session.on("stream", (stream, { ":path": path = "" }) => {
      if (path.startsWith(HEALTH_PATH)) limitRequest(stream, MAX_HEALTH_REQUEST_BYTES);
      if (!STREAMED_REQUESTS.has(path) && !path.startsWith(REFLECTION_PATH)) this.#awaitRequest(stream);
    });
  }

  /** Removes the time limit of a connection because its client has identified itself. */
  identified(peer: string): void {
    clearTimeout(this.#strangers.get(peer));
    this.#strangers.delete(peer);
  }

  close(): void {
    clearInterval(this.#timer);
    for (const peer of this.#strangers.keys()) this.identified(peer);
  }

  #awaitIdentity(session: ServerHttp2Session): void {
    const { remoteAddress, remotePort } = session.socket;
    const peer = `${remoteAddress}:${remotePort}`;
    this.#strangers.set(peer, setTimeout(() => endSession(session), IDENTIFY_TIMEOUT_MS).unref());
    session.once("close", () => this.identified(peer));
  }

  #awaitRequest(stream: ServerHttp2Stream): void {
    this.#incomplete.set(stream, performance.now() + REQUEST_TIMEOUT_MS);
    const forget = () => this.#incomplete.delete(stream);
    stream.once("end", forget);
    stream.once("close", forget);
  }

  #endIncomplete(): void {
    const nowMs = performance.now();
    for (const [stream, endsAtMs] of this.#incomplete) {
      if (endsAtMs > nowMs) return;
      this.#incomplete.delete(stream);
      stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
    }
  }
}

/** Stops accepting calls on a connection, lets open calls finish for 1 s, and closes the connection. */
export function endSession(session: ServerHttp2Session): void {
  session.close();
  setTimeout(() => session.destroy(), LEAVE_TIMEOUT_MS).unref();
}

// The client then sees RESOURCE_EXHAUSTED. Listening does not make the stream flow earlier: grpc-js pauses it at once.
function limitRequest(stream: ServerHttp2Stream, maxBytes: number): void {
  let bytes = 0;
  stream.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > maxBytes + MESSAGE_PREFIX_BYTES) stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
  });
}
