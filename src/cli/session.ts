import { once } from "node:events";
import { type ClientHttp2Session, connect, type OutgoingHttpHeaders } from "node:http2";
import type { SecureContextOptions } from "node:tls";
import type { GrpcTransportOptions } from "@connectrpc/connect-node";

type SessionManager = NonNullable<GrpcTransportOptions["sessionManager"]>;

/**
 * The HTTP/2 connection of one command. It does not reconnect. It handles all errors of the connection: the session manager
 * of connect-node handles only the first, and a server that does not speak HTTP/2 causes two. The second one would end the
 * process.
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
    // Every request on the connection reports the error itself.
    this.#session.on("error", () => undefined);
    this.#connected = once(this.#session, "connect");
    this.#connected.catch(() => undefined);
  }

  /** Starts a request. Rejects with the error of Node.js if the connection fails. */
  async request(method: string, path: string, headers: OutgoingHttpHeaders, options: object) {
    await this.#connected;
    return this.#session.request({ ...headers, ":method": method, ":path": path }, options);
  }

  /** Called by connect-node for its keepalive. */
  notifyResponseByteRead(): void {
    // A keepalive is not needed: every call has a deadline or regular checkpoints.
  }

  /** Ends the connection and all requests on it. */
  close(): void {
    this.#session.destroy();
  }
}
