import type { DescMethod } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";
import { SquelchError } from "../../domain/errors.js";
import { MAX_ID_BYTES } from "../../domain/id.js";
import type { WatchSink } from "../feed/watcher.js";
import type { WatchRequest } from "./call.js";
import type { CallHead } from "./callContext.js";
import type { OpenWatch } from "./calls/watch.js";
import type { WatchCall } from "./services.js";
import type { Serving } from "./serving.js";
import { toStatus } from "./status.js";

/** One stream as its plane has it. */
export interface WatchStream {
  sink: WatchSink;
  /** Where its client is, for the log. */
  peer: string;
  head: CallHead;
  /** Called once if the watch fails, so that the client is told. Nothing is written any more. */
  fail(error: unknown): void;
}

/**
 * Runs a watch until it fails, the replica shuts down, or the client goes.
 *
 * @returns to be called when the client has gone. Idempotent.
 */
export function runWatch(
  method: DescMethod,
  open: WatchCall,
  request: WatchRequest,
  stream: WatchStream,
  { endings, metrics, logger }: Serving,
): () => void {
  // It may be anything so far.
  const routerId = request.routerId?.slice(0, MAX_ID_BYTES);
  const log = logger.child({ routerId, peer: stream.peer, requestId: stream.head.requestId });
  const end = metrics.beginStream(method.name);
  let watch: OpenWatch | undefined;
  let isOver = false;

  const close = () => {
    if (isOver) return;
    isOver = true;
    endings.delete(fail);
    watch?.close();
    // The client's doing, where nothing has failed.
    end(status.CANCELLED);
    log.info("watch closed");
  };
  const fail = (error: unknown) => {
    if (isOver) return;
    if (!(error instanceof SquelchError)) log.error({ err: error }, "watch failed");
    end(toStatus(error).code);
    close();
    stream.fail(error);
  };

  endings.add(fail);
  try {
    watch = open(request, stream.head, stream.sink, fail);
    log.info({ events: request.eventIds.length }, "watch opened");
    watch.opened.catch(fail);
  } catch (error) {
    fail(error);
  }
  return close;
}
