import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { monotonicUs } from "./clock.js";

// Just enough of HTTP/2 (RFC 9113) to open gRPC server streams and read their messages. Node's own client takes twice
// the CPU for a message, from cores that the servers need as well, so that it would measure itself.

const FRAME_HEADER_BYTES = 9;
const DATA = 0x0;
const HEADERS = 0x1;
const RST_STREAM = 0x3;
const SETTINGS = 0x4;
const PING = 0x6;
const GOAWAY = 0x7;
const WINDOW_UPDATE = 0x8;
const ACK = 0x1;
const END_STREAM = 0x1;
const END_HEADERS = 0x4;
const PADDED = 0x8;
const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const INITIAL_WINDOW_SIZE = 0x4;
const MAX_WINDOW = 2 ** 31 - 1;
const DEFAULT_WINDOW = 65_535;
/** Received bytes after which the connection's window is opened again. A stream's window is never: it has 2 GiB. */
const WINDOW_REFILL_BYTES = 2 ** 30;
const MESSAGE_HEADER_BYTES = 5;

export interface LeanStreamsOptions {
  host: string;
  port: number;
  /** Of the method: `/package.Service/Method`. */
  path: string;
  /** The encoded request, the same for every stream. */
  request: Uint8Array;
  /** How many streams to open on one connection. */
  streams: number;
  /** The method takes a stream of requests, which is to stay open. */
  isBidirectional?: boolean;
  /** Takes an encoded response of the stream with that index, and when the socket brought it. */
  onMessage(stream: number, message: Buffer, atUs: number): void;
  /** The connection or a stream has ended. */
  onEnd(error: Error): void;
}

/** Opens many streams of one gRPC method on one connection. Resolves when all requests are sent; `destroy()` ends it. */
export async function openLeanStreams(options: LeanStreamsOptions): Promise<Socket> {
  const { host, port, path, request, streams, isBidirectional = false, onMessage, onEnd } = options;
  const socket = connect({ host, port, noDelay: true });
  await once(socket, "connect");
  const partialMessages: (Buffer | undefined)[] = [];
  let rest: Buffer = Buffer.alloc(0);
  let receivedBytes = 0;

  const readMessages = (stream: number, data: Buffer, atUs: number) => {
    const partial = partialMessages[stream];
    let bytes = partial === undefined ? data : Buffer.concat([partial, data]);
    while (bytes.length >= MESSAGE_HEADER_BYTES) {
      const end = MESSAGE_HEADER_BYTES + bytes.readUInt32BE(1);
      if (bytes.length < end) break;
      onMessage(stream, bytes.subarray(MESSAGE_HEADER_BYTES, end), atUs);
      bytes = bytes.subarray(end);
    }
    partialMessages[stream] = bytes.length > 0 ? bytes : undefined;
  };

  const readFrame = (type: number, flags: number, streamId: number, payload: Buffer, atUs: number) => {
    if (type === DATA && (flags & PADDED) !== 0) throw new Error("padding is not understood");
    if (type === DATA) readMessages((streamId - 1) / 2, payload, atUs);
    const hasEnded = (type === DATA || type === HEADERS) && (flags & END_STREAM) !== 0;
    if (hasEnded || type === RST_STREAM || type === GOAWAY) throw new Error(`the server ended stream ${streamId}`);
    if ((flags & ACK) !== 0) return;
    if (type === SETTINGS) socket.write(frame(SETTINGS, ACK, 0));
    if (type === PING) socket.write(frame(PING, ACK, 0, payload));
  };

  socket.on("data", (chunk: Buffer) => {
    const atUs = monotonicUs();
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    let offset = 0;
    try {
      while (bytes.length - offset >= FRAME_HEADER_BYTES) {
        const payloadAt = offset + FRAME_HEADER_BYTES;
        const end = payloadAt + bytes.readUIntBE(offset, 3);
        if (bytes.length < end) break;
        const streamId = bytes.readUInt32BE(offset + 5) & MAX_WINDOW;
        const payload = bytes.subarray(payloadAt, end);
        readFrame(bytes.readUInt8(offset + 3), bytes.readUInt8(offset + 4), streamId, payload, atUs);
        offset = end;
      }
    } catch (error) {
      socket.destroy(error as Error);
      return;
    }
    rest = bytes.subarray(offset);
    receivedBytes += chunk.length;
    if (receivedBytes > WINDOW_REFILL_BYTES) {
      socket.write(frame(WINDOW_UPDATE, 0, 0, uint32(receivedBytes)));
      receivedBytes = 0;
    }
  });
  socket.on("error", onEnd);
  socket.on("end", () => onEnd(new Error("the server closed the connection")));

  const windowSetting = Buffer.concat([Buffer.from([0, INITIAL_WINDOW_SIZE]), uint32(MAX_WINDOW)]);
  socket.write(PREFACE);
  socket.write(frame(SETTINGS, 0, 0, windowSetting));
  socket.write(frame(WINDOW_UPDATE, 0, 0, uint32(MAX_WINDOW - DEFAULT_WINDOW)));
  const headers = encodeHeaders(path, `${host}:${port}`);
  const message = Buffer.concat([Buffer.from([0]), uint32(request.length), request]);
  socket.cork();
  for (let stream = 0; stream < streams; stream++) {
    socket.write(frame(HEADERS, END_HEADERS, 2 * stream + 1, headers));
    socket.write(frame(DATA, isBidirectional ? 0 : END_STREAM, 2 * stream + 1, message));
  }
  socket.uncork();
  return socket;
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function frame(type: number, flags: number, streamId: number, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const header = Buffer.alloc(FRAME_HEADER_BYTES);
  header.writeUIntBE(payload.length, 0, 3);
  header.writeUInt8(type, 3);
  header.writeUInt8(flags, 4);
  header.writeUInt32BE(streamId, 5);
  return Buffer.concat([header, payload]);
}

// HPACK (RFC 7541) without Huffman and without the dynamic table: names by their place in the static table where they
// have one, values as they are.
function encodeHeaders(path: string, authority: string): Buffer {
  const text = (value: string) => Buffer.from([value.length, ...Buffer.from(value)]);
  const methodIsPost = Buffer.from([0x83]);
  const schemeIsHttp = Buffer.from([0x86]);
  return Buffer.concat([
    ...[methodIsPost, schemeIsHttp],
    ...[Buffer.from([0x04]), text(path)],
    ...[Buffer.from([0x01]), text(authority)],
    ...[Buffer.from([0x0f, 0x10]), text("application/grpc")],
    ...[Buffer.from([0x00]), text("te"), text("trailers")],
  ]);
}
