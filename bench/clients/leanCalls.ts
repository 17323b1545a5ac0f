import { create, type DescMessage, type DescMethodUnary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
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

/** The length of the header before each message: a compression flag and the length of the message. */
const MESSAGE_HEADER_BYTES = 5;
const FIRST_FRAME_HEADER_BYTES = 9;

/** Unary gRPC calls on one connection. */
export interface LeanCalls {
  /**
   * Makes a call. Resolves with the encoded response. Rejects if there was none, whatever status was received.
   *
   * @param call a request encoded by `encodeCall`
   */
  call(call: Buffer): Promise<Buffer>;
  close(): void;
}

interface Waiting {
  parts: Buffer[];
  resolve(message: Buffer): void;
  reject(error: Error): void;
}

/** Encodes a request completely except for its stream number, so that it can be sent many times. */
export function encodeCall<I extends DescMessage>(
  method: DescMethodUnary<I, DescMessage>,
  request: MessageInitShape<I>,
): Buffer {
  const path = `/${method.parent.typeName}/${method.name}`;
  return encodeBareCall(path, toBinary(method.input, create(method.input, request)));
}

/** Encodes a request of a method that is not in Squelch's contract. */
export function encodeBareCall(path: string, request: Uint8Array): Buffer {
  const headers = encodeFrame(HEADERS, END_HEADERS, 0, encodeHeaders(path, "bench"));
  return Buffer.concat([headers, encodeFrame(DATA, END_STREAM, 0, encodeMessage(request))]);
}

/** Opens a connection to `host:port`. */
export async function openLeanCalls(address: string): Promise<LeanCalls> {
  const [host = "", port = ""] = address.split(":");
  const waiting = new Map<number, Waiting>();
  let nextStream = 1;
  let unsent: Buffer[] = [];

  const fail = (error: Error) => {
    for (const { reject } of waiting.values()) reject(error);
    waiting.clear();
  };
  const socket = await openLeanHttp2({
    host,
    port: Number(port),
    onFrame(type, flags, streamId, payload) {
      if (type === GOAWAY) throw new Error("the server closes the connection");
      const call = waiting.get(streamId);
      if (call === undefined) return;
      if (type === DATA) call.parts.push(payload);
      const hasEnded = (type === DATA || type === HEADERS) && (flags & END_STREAM) !== 0;
      if (!hasEnded && type !== RST_STREAM) return;
      waiting.delete(streamId);
      if (call.parts.length === 0) call.reject(new Error("the call failed"));
      else call.resolve(Buffer.concat(call.parts).subarray(MESSAGE_HEADER_BYTES));
    },
    onEnd: fail,
  });
  const send = () => {
    socket.write(Buffer.concat(unsent));
    unsent = [];
  };

  return {
    call(call) {
      const stream = nextStream;
      nextStream += 2;
      const bytes = Buffer.from(call);
      const dataAt = FIRST_FRAME_HEADER_BYTES + bytes.readUIntBE(0, 3);
      bytes.writeUInt32BE(stream, 5);
      bytes.writeUInt32BE(stream, dataAt + 5);
      // All requests of one turn of the event loop are sent in one write.
      if (unsent.push(bytes) === 1) setImmediate(send);
      return new Promise((resolve, reject) => waiting.set(stream, { parts: [], resolve, reject }));
    },
    close: () => socket.destroy(),
  };
}
