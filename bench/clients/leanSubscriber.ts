import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { monotonicUs } from "../support/clock.js";

const LINE_END = "\r\n";

export interface LeanSubscriberOptions {
  host: string;
  port: number;
  channel: string;
  /** Receives a published message, which is a part of `bytes`, and when the socket delivered it. */
  onMessage(bytes: Buffer, start: number, end: number, atUs: number): void;
  /** Called when the connection has ended. */
  onEnd(error: Error): void;
}

/** Subscribes to one channel on its own Redis connection. Resolves when Redis has confirmed it; `destroy()` ends it. */
export async function openLeanSubscriber(options: LeanSubscriberOptions): Promise<Socket> {
  const { host, port, channel, onMessage, onEnd } = options;
  const bulk = (text: string) => `$${Buffer.byteLength(text)}${LINE_END}${text}${LINE_END}`;
  const confirmation = `*3${LINE_END}${bulk("subscribe")}${bulk(channel)}:1${LINE_END}`;
  // The bytes before the length of each message.
  const prefix = Buffer.from(`*3${LINE_END}${bulk("message")}${bulk(channel)}$`);
  const socket = connect({ host, port, noDelay: true });
  await once(socket, "connect");

  socket.write(`*2${LINE_END}${bulk("SUBSCRIBE")}${bulk(channel)}`);
  const [answer] = (await once(socket, "data")) as [Buffer];
  if (answer.toString() !== confirmation) throw new Error(`not subscribed, Redis said: ${answer}`);

  let rest: Buffer = Buffer.alloc(0);
  socket.on("data", (chunk: Buffer) => {
    const atUs = monotonicUs();
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    let offset = 0;
    for (;;) {
      const lengthAt = offset + prefix.length;
      const lengthEnd = bytes.indexOf(LINE_END, lengthAt);
      if (lengthEnd === -1) break;
      const messageAt = lengthEnd + LINE_END.length;
      const messageEnd = messageAt + Number(bytes.toString("latin1", lengthAt, lengthEnd));
      if (bytes.length < messageEnd + LINE_END.length) break;
      onMessage(bytes, messageAt, messageEnd, atUs);
      offset = messageEnd + LINE_END.length;
    }
    rest = bytes.subarray(offset);
  });
  socket.on("error", onEnd);
  socket.on("end", () => onEnd(new Error("Redis closed the connection")));
  return socket;
}
