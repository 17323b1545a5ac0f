import { once } from "node:events";
import { connect, type Socket } from "node:net";

const LINE_END = "\r\n";

/** Publishes to one channel on its own Redis connection and uses as little CPU as possible. */
export class LeanPublisher {
  readonly #socket: Socket;
  readonly #prefix: string;
  #failure: Error | undefined;

  private constructor(socket: Socket, channel: string) {
    this.#socket = socket;
    this.#prefix = `*3${LINE_END}$7${LINE_END}PUBLISH${LINE_END}$${Buffer.byteLength(channel)}${LINE_END}${channel}${LINE_END}$`;
    // Only an error among the answers matters.
    socket.on("data", (chunk: Buffer) => {
      const at = chunk.indexOf("-");
      if (at !== -1) this.#failure ??= new Error(`not published, Redis said: ${chunk.subarray(at, at + 100)}`);
    });
    socket.on("error", (error) => {
      this.#failure ??= error;
    });
  }

  static async open(url: string, channel: string): Promise<LeanPublisher> {
    const { hostname, port } = new URL(url);
    const socket = connect({ host: hostname, port: Number(port), noDelay: true });
    await once(socket, "connect");
    return new LeanPublisher(socket, channel);
  }

  /** Publishes these messages in their order. Throws if Redis has rejected an earlier message. */
  publish(messages: readonly string[]): void {
    if (this.#failure !== undefined) throw this.#failure;
    const commands = messages.map(
      (message) => `${this.#prefix}${Buffer.byteLength(message)}${LINE_END}${message}${LINE_END}`,
    );
    this.#socket.write(commands.join(""));
  }

  close(): void {
    this.#socket.destroy();
  }
}
