import { constants, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import type { TLSSocket } from "node:tls";
import { services } from "../../contract.js";
import { REQUEST_TIMEOUT_MS } from "../serving.js";
import { HEALTH_PATH, MAX_HEALTH_REQUEST_BYTES } from "./health.js";

/** How long the client of a connection may take to show a token or a certificate, ms. */
const IDENTIFY_TIMEOUT_MS = 10_000;
/** How long the calls of a client that has shown nothing may take to end after that, ms. */
const LEAVE_TIMEOUT_MS = 1_000;
/** How often requests are checked that have not arrived whole, ms. */
const CHECK_INTERVAL_MS = 1_000;
/** Five bytes precede each message of gRPC: whether it is compressed, and its length. */
const MESSAGE_PREFIX_BYTES = 5;

/** Clients may take as long as they like to send the messages of these calls. */
const STREAMED_REQUESTS = new Set(
  services.flatMap(({ typeName, methods }) =>
    methods
      .filter(({ methodKind }) => methodKind === "client_streaming" || methodKind === "bidi_streaming")
      .map(({ name }) => `/${typeName}/${name}`),
  ),
);
const REFLECTION_PATH = "/grpc.reflection.";

/** Bounds in time and bytes what a connection of gRPC may hold before its client has shown who it is. */
export class GrpcSessions {
  readonly #mustIdentify: boolean;
  /** Ends the connections of clients that have shown nothing yet, by host:port of the client. */
  readonly #strangers = new Map<string, NodeJS.Timeout>();
  /** The calls with a request that has not arrived whole, oldest first, with the time by which it must, ms. */
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

  /** Lets a connection stand without limit because its client has shown who it is. */
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
    const end = () => {
      session.close();
      setTimeout(() => session.destroy(), LEAVE_TIMEOUT_MS).unref();
    };
    this.#strangers.set(peer, setTimeout(end, IDENTIFY_TIMEOUT_MS).unref());
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

// The client then sees RESOURCE_EXHAUSTED. Listening does not make the stream flow earlier: grpc-js pauses it at once.
function limitRequest(stream: ServerHttp2Stream, maxBytes: number): void {
  let bytes = 0;
  stream.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > maxBytes + MESSAGE_PREFIX_BYTES) stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
  });
}
