import type { ServerHttp2Stream } from "node:http2";
import { Metadata, type ServerWritableStream } from "@grpc/grpc-js";
import type { WatchSink } from "../../feed/watcher.js";

/**
 * Where the frames of a watch go: to the HTTP/2 stream of its call. grpc-js would put its own prefix before every message
 * of every stream, in a new buffer, and pass it through a stream of objects; headers, status and cancellation stay with
 * it. Why so, and what it brings, is in
 * docs/decisions/0018-frames-go-to-the-http2-stream.md.
 */
export function createFrameSink(call: ServerWritableStream<unknown, unknown>): WatchSink {
  const stream = http2StreamOf(call);
  return {
    write(frames, done) {
      // The end of such a stream is told by "cancelled" or "close".
      if (stream.destroyed || stream.writableEnded) return;
      if (!stream.headersSent) call.sendMetadata(new Metadata());
      stream.write(frames, done);
    },
  };
}

interface CallLayer {
  stream?: ServerHttp2Stream;
  /** What an interceptor wraps. */
  nextCall?: CallLayer;
}

// grpc-js does not give it out; its version is pinned, and a test would notice if it were elsewhere in another.
function http2StreamOf(call: ServerWritableStream<unknown, unknown>): ServerHttp2Stream {
  let layer: CallLayer | undefined = (call as unknown as { call: CallLayer }).call;
  while (layer !== undefined && layer.stream === undefined) layer = layer.nextCall;
  if (layer?.stream === undefined)
    throw new Error("this version of grpc-js keeps the HTTP/2 stream of a call elsewhere");
  return layer.stream;
}
