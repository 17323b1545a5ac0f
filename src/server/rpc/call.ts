import type { WatchSink } from "../feed/watcher.js";
import type { CallContext, WaitContext } from "./callContext.js";
import type { OpenWatch } from "./calls/watch.js";

/** What a call answers, or what becomes of it. */
export type Answer = Promise<Record<string, unknown>>;

/** What the requests of all watches have. */
export interface WatchRequest {
  eventIds: string[];
  routerId?: string;
}

/** What a call does once it is known who calls. */
export type Implementation =
  | { kind: "unary"; handle(request: unknown, context: CallContext): Answer }
  | { kind: "wait"; handle(request: unknown, context: WaitContext): Answer }
  | { kind: "clientStream"; handle(requests: AsyncIterable<unknown>, context: CallContext): Answer }
  | {
      kind: "watch";
      /** `fail` is called if it cannot go on. */
      open(request: WatchRequest, context: CallContext, sink: WatchSink, fail: (error: unknown) => void): OpenWatch;
    };
