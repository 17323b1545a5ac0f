import type { TLSSocket } from "node:tls";
import type { TlsFiles } from "./tlsFiles.js";

/** The interval between checks for expired client certificates, ms. */
const CHECK_INTERVAL_MS = 5_000;
/** The time over which connections are closed after the CAs or the revocations have changed, ms, so that they do not all close at once. */
const SPREAD_MS = 20_000;

type ClientSocket = Pick<TLSSocket, "authorized" | "getPeerCertificate" | "once">;

/**
 * The connections of one server with a client certificate. Each is closed when its certificate expires. When the CAs or
 * the revoked certificates change, all are closed within 20 s: a client with a valid certificate connects again, and is
 * verified again.
 */
export class CertifiedConnections {
  readonly #connections = new Map<ClientSocket, { expiresAtMs: number; end: () => void }>();
  readonly #timer: NodeJS.Timeout;

  constructor(tls: Pick<TlsFiles, "onClientRules">) {
    this.#timer = setInterval(() => this.#endExpired(), CHECK_INTERVAL_MS).unref();
    tls.onClientRules(() => {
      for (const { end } of this.#connections.values()) setTimeout(end, Math.random() * SPREAD_MS).unref();
    });
  }

  /** @param end closes the connection; may be called more than once */
  add(socket: ClientSocket, end: () => void): void {
    // Without a certificate, or with one that no CA of clients has signed, the client needs a token.
    if (!socket.authorized) return;
    this.#connections.set(socket, { expiresAtMs: Date.parse(socket.getPeerCertificate().valid_to), end });
    socket.once("close", () => this.#connections.delete(socket));
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #endExpired(): void {
    const nowMs = Date.now();
    for (const { expiresAtMs, end } of this.#connections.values()) if (expiresAtMs <= nowMs) end();
  }
}
