import { WebSocket } from "ws";

/** Tells whether the client at the other end of a WebSocket still answers. */
export class Pulse {
  readonly #socket: WebSocket;
  readonly #waiting = new Set<(isAlive: boolean) => void>();

  constructor(socket: WebSocket) {
    this.#socket = socket;
    for (const sign of ["message", "ping", "pong"]) socket.on(sign, () => this.#settle(true));
    socket.on("close", () => this.#settle(false));
  }

  /**
   * Pings the client. Resolves with true as soon as anything arrives from the client; with false if nothing has arrived after
   * `patienceMs`, or if the connection closes. Never rejects.
   */
  answers(patienceMs: number): Promise<boolean> {
    if (this.#socket.readyState !== WebSocket.OPEN) return Promise.resolve(false);
    return new Promise((resolve) => {
      const settle = (isAlive: boolean) => {
        clearTimeout(timer);
        this.#waiting.delete(settle);
        resolve(isAlive);
      };
      const timer = setTimeout(() => settle(false), patienceMs).unref();
      this.#waiting.add(settle);
      this.#socket.ping();
    });
  }

  #settle(isAlive: boolean): void {
    for (const settle of this.#waiting) settle(isAlive);
  }
}
