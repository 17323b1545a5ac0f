import { once } from "node:events";
import { connect, type Socket } from "node:net";

// Just enough of HTTP/2 (RFC 9113) for gRPC calls. Node's own client needs twice the CPU per message, on cores that
// the servers also need, so it would distort the measurement.

const FRAME_HEADER_BYTES = 9;
export const DATA = 0x0;
export const HEADERS = 0x1;
export const RST_STREAM = 0x3;
const SETTINGS = 0x4;
const PING = 0x6;
export const GOAWAY = 0x7;
const WINDOW_UPDATE = 0x8;
const ACK = 0x1;
export const END_STREAM = 0x1;
export const END_HEADERS = 0x4;
const PADDED = 0x8;
const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const INITIAL_WINDOW_SIZE = 0x4;
const MAX_WINDOW = 2 ** 31 - 1;
const DEFAULT_WINDOW = 65_535;
/** Received bytes after which the connection's window is enlarged again. A stream's window never is: it has 2 GiB. */
const WINDOW_REFILL_BYTES = 2 ** 30;

export interface LeanHttp2Options {
  host: string;
  port: number;
  /** Receives a frame. An error that it throws ends the connection. */
  onFrame(type: number, flags: number, streamId: number, payload: Buffer): void;
  /** Called before the frames that one read from the socket delivered. */
  onChunk?(): void;
  /** Called when the connection has ended. */
  onEnd(error: Error): void;
}

/** Opens a connection on which frames can be written. Resolves when it is open; `destroy()` ends it. */
export async function openLeanHttp2({ host, port, onFrame, onChunk, onEnd }: LeanHttp2Options): Promise<Socket> {
  const socket = connect({ host, port, noDelay: true });
  await once(socket, "connect");
  let rest: Buffer = Buffer.alloc(0);
  let receivedBytes = 0;

  const readFrame = (type: number, flags: number, streamId: number, payload: Buffer) => {
    if (type === DATA && (flags & PADDED) !== 0) throw new Error("padded frames are not supported");
    onFrame(type, flags, streamId, payload);
    if ((flags & ACK) !== 0) return;
    if (type === SETTINGS) socket.write(encodeFrame(SETTINGS, ACK, 0));
    if (type === PING) socket.write(encodeFrame(PING, ACK, 0, payload));
  };

  socket.on("data", (chunk: Buffer) => {
    onChunk?.();
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    let offset = 0;
    try {
      while (bytes.length - offset >= FRAME_HEADER_BYTES) {
        const payloadAt = offset + FRAME_HEADER_BYTES;
        const end = payloadAt + bytes.readUIntBE(offset, 3);
        if (bytes.length < end) break;
        const streamId = bytes.readUInt32BE(offset + 5) & MAX_WINDOW;
        readFrame(bytes.readUInt8(offset + 3), bytes.readUInt8(offset + 4), streamId, bytes.subarray(payloadAt, end));
        offset = end;
      }
    } catch (error) {
      socket.destroy(error as Error);
      return;
    }
    rest = bytes.subarray(offset);
    receivedBytes += chunk.length;
    if (receivedBytes > WINDOW_REFILL_BYTES) {
      socket.write(encodeFrame(WINDOW_UPDATE, 0, 0, uint32(receivedBytes)));
      receivedBytes = 0;
    }
  });
  socket.on("error", onEnd);
  socket.on("end", () => onEnd(new Error("the server closed the connection")));

  const windowSetting = Buffer.concat([Buffer.from([0, INITIAL_WINDOW_SIZE]), uint32(MAX_WINDOW)]);
  socket.write(PREFACE);
  socket.write(encodeFrame(SETTINGS, 0, 0, windowSetting));
  socket.write(encodeFrame(WINDOW_UPDATE, 0, 0, uint32(MAX_WINDOW - DEFAULT_WINDOW)));
  return socket;
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** Encodes one frame. */
export function encodeFrame(
  type: number,
  flags: number,
  streamId: number,
  payload: Uint8Array = Buffer.alloc(0),
): Buffer {
  const header = Buffer.alloc(FRAME_HEADER_BYTES);
  header.writeUIntBE(payload.length, 0, 3);
  header.writeUInt8(type, 3);
  header.writeUInt8(flags, 4);
  header.writeUInt32BE(streamId, 5);
  return Buffer.concat([header, payload]);
}

/** Encodes a gRPC message in the format of DATA frames. */
export function encodeMessage(message: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from([0]), uint32(message.length), message]);
}

/**
 * Encodes the headers of a gRPC request in HPACK (RFC 7541), without Huffman coding and without the dynamic table.
 * Names in the static table are sent as their index, values as text.
 */
export function encodeHeaders(path: string, authority: string): Buffer {
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
