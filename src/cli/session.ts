import { once } from "node:events";
import { type ClientHttp2Session, connect, type OutgoingHttpHeaders } from "node:http2";
import type { SecureContextOptions } from "node:tls";
import type { GrpcTransportOptions } from "@connectrpc/connect-node";

type SessionManager = NonNullable<GrpcTransportOptions["sessionManager"]>;

/**
 * One HTTP/2 connection for the life of one command; it is not opened again. It listens to errors until it is gone:
 * connect-node's own manager stops at the first, and a peer that does not speak HTTP/2 causes two, of which the second
 * would end the process.
 */
export class CommandSession implements SessionManager {
  readonly #session: ClientHttp2Session;
  readonly #connected: Promise<unknown>;

  /** @param authority `http://host:port`, or `https://…` with `tls` */
  constructor(
    readonly authority: string,
    tls: SecureContextOptions = {},
  ) {
    this.#session = connect(authority, tls);
    // Every stream and request reports the error on its own.
    this.#session.on("error", () => undefined);
    this.#connected = once(this.#session, "connect");
    this.#connected.catch(() => undefined);
  }

  /** Rejects with the system's error if the connection cannot be made. */
  async request(method: string, path: string, headers: OutgoingHttpHeaders, options: object) {
    await this.#connected;
    return this.#session.request({ ...headers, ":method": method, ":path": path }, options);
  }

  /** Asked for by connect-node, for a keepalive. */
  notifyResponseByteRead(): void {
    // There is none: every call has a deadline or checkpoints.
  }

  /** Ends the connection and whatever still runs on it. */
  close(): void {
    this.#session.destroy();
  }
}
