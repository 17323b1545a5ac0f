import type { ServerHttp2Stream } from "node:http2";
import { Metadata, type ServerWritableStream } from "@grpc/grpc-js";
import type { WatchSink } from "../../feed/watcher.js";

/**
 * Creates a sink that writes the frames of a watch to the HTTP/2 stream of its call. grpc-js would copy every message of
 * every stream to put a prefix before it, and pass it through a stream of objects. It still handles headers, status and
 * cancellation. The reasons and the gain are in docs/decisions/0018-frames-go-to-the-http2-stream.md.
 */
export function createFrameSink(call: ServerWritableStream<unknown, unknown>): WatchSink {
  const stream = http2StreamOf(call);
  return {
    write(frames, done) {
      // The call emits "cancelled" or "close" when its stream has ended.
      if (stream.destroyed || stream.writableEnded) return;
      if (!stream.headersSent) call.sendMetadata(new Metadata());
      stream.write(frames, done);
    },
  };
}

interface CallLayer {
  stream?: ServerHttp2Stream;
  /** The call that an interceptor wraps. */
  nextCall?: CallLayer;
}

// grpc-js does not publish the stream. Its version is pinned, and a test fails if another version keeps the stream elsewhere.
function http2StreamOf(call: ServerWritableStream<unknown, unknown>): ServerHttp2Stream {
  let layer: CallLayer | undefined = (call as unknown as { call: CallLayer }).call;
  while (layer !== undefined && layer.stream === undefined) layer = layer.nextCall;
  if (layer?.stream === undefined)
    throw new Error("this version of grpc-js keeps the HTTP/2 stream of a call elsewhere");
  return layer.stream;
}
