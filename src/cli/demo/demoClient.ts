import { WebSocket } from "ws";
import { CommandFailure } from "../failure.js";

const TIMEOUT_MS = 5_000;

interface Frame {
  type: string;
  id?: number;
  data?: Record<string, unknown>;
  error?: string;
}

/** A frame and the time of its arrival, by `performance.now()`. */
export interface Arrival {
  frame: Frame;
  atMs: number;
}

interface Wait {
  match: (frame: Frame) => boolean;
  resolve: (arrival: Arrival) => void;
  reject: (error: Error) => void;
}

/** A WebSocket client of a router that waits for frames. */
export class DemoClient {
  readonly #socket: WebSocket;
  readonly #waits = new Set<Wait>();
  #lastId = 0;

  private constructor(
    url: string,
    token: string,
    readonly name: string,
  ) {
    this.#socket = new WebSocket(url, { headers: { authorization: `Bearer ${token}` } });
    this.#socket.on("message", (bytes) => this.#receive({ frame: JSON.parse(String(bytes)), atMs: performance.now() }));
    this.#socket.on("error", (error) => this.#fail(error.message));
    this.#socket.on("close", (code) => this.#fail(`closed with ${code}`));
  }

  /** Resolves when the router has greeted the client with its channels. */
  static async connect(url: string, token: string, name: string): Promise<DemoClient> {
    const client = new DemoClient(url, token, name);
    await client.next("the channel list", (frame) => frame.type === "channel-list");
    return client;
  }

  /**
   * The next frame that matches, from now on. Rejects after 5 s with a CommandFailure that names `what`.
   *
   * @param what for that failure
   */
  next(what: string, match: (frame: Frame) => boolean): Promise<Arrival> {
    return new Promise<Arrival>((resolve, reject) => {
      const settle = () => {
        clearTimeout(timer);
        this.#waits.delete(wait);
      };
      const wait: Wait = {
        match,
        resolve: (arrival) => {
          settle();
          resolve(arrival);
        },
        reject: (error) => {
          settle();
          reject(error);
        },
      };
      const timer = setTimeout(
        () => wait.reject(new CommandFailure(`${what} did not reach ${this.name} within ${TIMEOUT_MS / 1_000} s`)),
        TIMEOUT_MS,
      );
      this.#waits.add(wait);
    });
  }

  /** Sends a request about a channel. Resolves with the reply, whether it grants or refuses. */
  request(type: string, channelId: string): Promise<Arrival> {
    this.#lastId += 1;
    const id = this.#lastId;
    const reply = this.next(`the reply to ${type}`, (frame) => frame.id === id);
    this.#socket.send(JSON.stringify({ type, id, data: { channelId } }));
    return reply;
  }

  /** False after the connection has ended. */
  get isOpen(): boolean {
    return this.#socket.readyState === WebSocket.OPEN;
  }

  close(): void {
    this.#socket.close();
  }

  #receive(arrival: Arrival): void {
    for (const wait of [...this.#waits]) if (wait.match(arrival.frame)) wait.resolve(arrival);
  }

  #fail(reason: string): void {
    for (const wait of [...this.#waits])
      wait.reject(new CommandFailure(`the connection of ${this.name} failed: ${reason}`));
  }
}
