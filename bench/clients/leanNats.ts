import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { monotonicUs } from "../support/clock.js";

// Just enough of NATS's text protocol to subscribe, to publish, and to read messages without decoding them.

const LINE_END = "\r\n";
const CR = 13;
const SPACE = 32;
const STATUS_PREFIX = "NATS/1.0 100";

export interface NatsMessage {
  /** The number that the client gave to the subscription. */
  subscription: number;
  /** The subject to answer on; empty if no answer is expected. */
  replyTo: string;
  /** The bytes that contain the payload. */
  bytes: Buffer;
  start: number;
  end: number;
  /** When the socket delivered the message. */
  atUs: number;
}

/** A connection to a NATS server. */
export interface NatsConnection {
  readonly socket: Socket;
  subscribe(subject: string, subscription: number): void;
  publish(subject: string, payload: string, replyTo?: string): void;
  /** Resolves when the server has processed everything that was sent before. */
  flush(): Promise<void>;
}

/** Connects. `socket.destroy()` ends the connection. It answers flow-control requests and ignores idle heartbeats. */
export async function connectNats(
  { host, port }: { host: string; port: number },
  onMessage: (message: NatsMessage) => void,
  onEnd: (error: Error) => void,
): Promise<NatsConnection> {
  const socket = connect({ host, port, noDelay: true });
  await once(socket, "connect");
  const flushed: (() => void)[] = [];
  let rest: Buffer = Buffer.alloc(0);

  // Returns where the next line begins, or undefined if the current line is incomplete.
  const readOne = (bytes: Buffer, at: number, atUs: number): number | undefined => {
    const lineEnd = bytes.indexOf(CR, at);
    if (lineEnd === -1 || lineEnd + 1 >= bytes.length) return undefined;
    const next = lineEnd + LINE_END.length;
    const line = bytes.toString("latin1", at, lineEnd);
    const [verb, ...words] = line.split(String.fromCharCode(SPACE));
    if (verb === "MSG" || verb === "HMSG") {
      const end = next + Number(words.at(-1));
      if (end + LINE_END.length > bytes.length) return undefined;
      const headerBytes = verb === "HMSG" ? Number(words.at(-2)) : 0;
      const replyTo = words.length > (verb === "HMSG" ? 4 : 3) ? (words[2] as string) : "";
      const isStatus = headerBytes > 0 && bytes.toString("latin1", next, next + STATUS_PREFIX.length) === STATUS_PREFIX;
      if (!isStatus) {
        onMessage({ subscription: Number(words[1]), replyTo, bytes, start: next + headerBytes, end, atUs });
      } else if (replyTo !== "") {
        socket.write(`PUB ${replyTo} 0${LINE_END}${LINE_END}`);
      }
      return end + LINE_END.length;
    }
    if (verb === "PING") socket.write(`PONG${LINE_END}`);
    else if (verb === "PONG") flushed.shift()?.();
    else if (verb === "-ERR") throw new Error(`NATS said: ${line}`);
    return next;
  };

  socket.on("data", (chunk: Buffer) => {
    const atUs = monotonicUs();
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    let offset = 0;
    try {
      for (let next = readOne(bytes, 0, atUs); next !== undefined; next = readOne(bytes, offset, atUs)) offset = next;
    } catch (error) {
      socket.destroy(error as Error);
      return;
    }
    rest = bytes.subarray(offset);
  });
  socket.on("error", onEnd);
  socket.on("end", () => onEnd(new Error("NATS closed the connection")));
  socket.write(`CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true}${LINE_END}`);

  return {
    socket,
    subscribe(subject, subscription) {
      socket.write(`SUB ${subject} ${subscription}${LINE_END}`);
    },
    publish(subject, payload, replyTo = "") {
      const head = replyTo === "" ? subject : `${subject} ${replyTo}`;
      socket.write(`PUB ${head} ${Buffer.byteLength(payload)}${LINE_END}${payload}${LINE_END}`);
    },
    flush() {
      socket.write(`PING${LINE_END}`);
      return new Promise((resolve) => flushed.push(resolve));
    },
  };
}
