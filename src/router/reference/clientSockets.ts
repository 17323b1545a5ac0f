import { type Server, STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { Logger } from "../../lib/logger.js";

/** How long a client may take from its connection until it is admitted, ms. */
const ADMISSION_TIMEOUT_MS = 10_000;
/** How long a refused client may take to read the answer, ms. */
const REFUSAL_GRACE_MS = 500;

/** How many TCP connections clients may have open. */
export interface SocketLimits {
  readonly maxSockets: number;
  readonly maxSocketsPerAddress: number;
}

/**
 * The TCP connections of a router's clients. A connection above a limit is refused. A connection whose client is not admitted
 * within 10 s is closed.
 */
export class ClientSockets {
  readonly #limits: SocketLimits;
  readonly #logger: Logger;
  /** Every open connection, with the timer of its admission. */
  readonly #open = new Map<Duplex, NodeJS.Timeout>();
  readonly #addresses = new Map<string, number>();

  constructor(server: Server, limits: SocketLimits, logger: Logger) {
    this.#limits = limits;
    this.#logger = logger;
    server.on("connection", (socket) => this.#accept(socket));
  }

  /** Lets a connection stay open: its client was admitted. */
  admit(socket: Duplex): void {
    clearTimeout(this.#open.get(socket));
  }

  /** Closes all connections at once. */
  destroyAll(): void {
    for (const socket of this.#open.keys()) socket.destroy();
  }

  #accept(socket: Socket): void {
    const { maxSockets, maxSocketsPerAddress } = this.#limits;
    const address = socket.remoteAddress ?? "";
    const ofAddress = this.#addresses.get(address) ?? 0;
    if (this.#open.size >= maxSockets || ofAddress >= maxSocketsPerAddress) {
      this.#logger.debug({ address, sockets: this.#open.size, ofAddress }, "connection refused, there are too many");
      socket.on("error", () => socket.destroy());
      refuse(socket, 503, "The router has too many connections");
      return;
    }
    this.#addresses.set(address, ofAddress + 1);
    this.#open.set(socket, setTimeout(() => socket.destroy(), ADMISSION_TIMEOUT_MS).unref());
    socket.once("close", () => {
      clearTimeout(this.#open.get(socket));
      this.#open.delete(socket);
      const left = (this.#addresses.get(address) ?? 1) - 1;
      if (left === 0) this.#addresses.delete(address);
      else this.#addresses.set(address, left);
    });
  }
}

/** Answers a client that may not connect, and closes its connection. */
export function refuse(socket: Duplex, status: number, message: string): void {
  const body = `${message}\n`;
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    "Connection: close",
    "Content-Type: text/plain",
    `Content-Length: ${Buffer.byteLength(body)}`,
  ];
  socket.end(`${head.join("\r\n")}\r\n\r\n${body}`);
  // A connection that is closed with unread bytes loses the answer, so the client gets some time to close it.
  socket.resume();
  setTimeout(() => socket.destroy(), REFUSAL_GRACE_MS).unref();
}
