import { MAX_ID_BYTES } from "../../domain/id.js";
import type { WatchSink } from "../feed/watcher.js";
import type { WatchCall, WatchRequest } from "./call.js";
import type { Caller } from "./callContext.js";
import type { OpenWatch } from "./calls/watch.js";
import { OngoingCall } from "./ongoingCall.js";
import type { Serving } from "./serving.js";
import { isDefect } from "./status.js";

/** The stream of a watch as its server has it. */
export interface WatchStream {
  caller: Caller;
  sink: WatchSink;
  /** The address of the client, for the log. */
  peer: string;
  /** Called once if the watch fails: ends the stream with the error. The sink receives nothing after it. */
  fail(error: unknown): void;
}

/**
 * Runs a watch until it fails, the replica shuts down, or the client is gone.
 *
 * @returns a function to call when the client is gone. Idempotent.
 */
export function runWatch(
  call: WatchCall,
  request: WatchRequest,
  { caller, sink, peer, ...stream }: WatchStream,
  { shutdown, logger }: Serving,
): () => void {
  // The request is not checked yet: the id may have any length.
  const routerId = request.routerId?.slice(0, MAX_ID_BYTES);
  const log = logger.child({ routerId, peer, callId: caller.head.callId });
  let watch: OpenWatch | undefined;
  let isOver = false;

  const close = () => {
    if (isOver) return;
    isOver = true;
    watch?.close();
    log.info("watch closed");
  };
  const fail = (error: unknown) => {
    if (isOver) return;
    if (isDefect(error)) log.error({ err: error }, "watch failed");
    close();
    stream.fail(error);
  };

  try {
    const ongoing = new OngoingCall(caller, Number.POSITIVE_INFINITY, shutdown.endings);
    watch = call.open(request, ongoing, sink, fail);
    // The watch may have failed while it was opened.
    if (isOver) watch.close();
    log.info({ events: request.eventIds.length }, "watch opened");
    watch.opened.catch(fail);
  } catch (error) {
    fail(error);
  }
  return close;
}
