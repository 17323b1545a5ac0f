import type { Socket } from "node:net";
import { monotonicUs } from "../support/clock.js";
import {
  DATA,
  END_HEADERS,
  END_STREAM,
  encodeFrame,
  encodeHeaders,
  encodeMessage,
  GOAWAY,
  HEADERS,
  openLeanHttp2,
  RST_STREAM,
} from "./leanHttp2.js";

const MESSAGE_HEADER_BYTES = 5;

export interface LeanStreamsOptions {
  host: string;
  port: number;
  /** The path of the method: `/package.Service/Method`. */
  path: string;
  /** The encoded request, the same for every stream. */
  request: Uint8Array;
  /** The number of streams to open on one connection. */
  streams: number;
  /** True if the method takes a stream of requests, which then stays open. */
  isBidirectional?: boolean;
  /** Receives an encoded response, the index of its stream, and when the socket delivered it. */
  onMessage(stream: number, message: Buffer, atUs: number): void;
  /** Called when the connection or a stream has ended. */
  onEnd(error: Error): void;
}

/** Opens many streams of one gRPC method on one connection. Resolves when all requests are sent; `destroy()` ends it. */
export async function openLeanStreams(options: LeanStreamsOptions): Promise<Socket> {
  const { host, port, path, request, streams, isBidirectional = false, onMessage, onEnd } = options;
  const partialMessages: (Buffer | undefined)[] = [];
  let atUs = 0;

  const readMessages = (stream: number, data: Buffer) => {
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

  const socket = await openLeanHttp2({
    host,
    port,
    onChunk() {
      atUs = monotonicUs();
    },
    onFrame(type, flags, streamId, payload) {
      if (type === DATA) readMessages((streamId - 1) / 2, payload);
      const hasEnded = (type === DATA || type === HEADERS) && (flags & END_STREAM) !== 0;
      if (hasEnded || type === RST_STREAM || type === GOAWAY) throw new Error(`the server ended stream ${streamId}`);
    },
    onEnd,
  });
  const headers = encodeHeaders(path, `${host}:${port}`);
  const message = encodeMessage(request);
  socket.cork();
  for (let stream = 0; stream < streams; stream++) {
    socket.write(encodeFrame(HEADERS, END_HEADERS, 2 * stream + 1, headers));
    socket.write(encodeFrame(DATA, isBidirectional ? 0 : END_STREAM, 2 * stream + 1, message));
  }
  socket.uncork();
  return socket;
}
