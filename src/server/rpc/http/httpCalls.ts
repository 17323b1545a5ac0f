import { create, type DescMethod, fromBinary } from "@bufbuild/protobuf";
import type { ConnectError, ConnectRouter, HandlerContext } from "@connectrpc/connect";
import { services } from "../../contract.js";
import { messagesOf } from "../../feed/wire/frame.js";
import type { ServedCall, WatchCall, WatchRequest } from "../call.js";
import { runCall } from "../runCall.js";
import { runWatch } from "../runWatch.js";
import type { Serving } from "../serving.js";
import { toConnectError } from "./connectError.js";
import { clientOf } from "./httpAdmission.js";
import { jsonOptionsOf } from "./jsonOptions.js";

/** Serves all calls with Connect. */
export function addHttpCalls(router: ConnectRouter, serving: Serving): void {
  for (const service of services) {
    for (const method of service.methods) {
      router.rpc(method, createHttpHandler(method, serving) as never, { jsonOptions: jsonOptionsOf(method) });
    }
  }
}

function createHttpHandler(method: DescMethod, serving: Serving) {
  const call = serving.calls(method);
  return call.kind === "watch" ? createWatchHandler(method, call, serving) : createAnswerHandler(method, call, serving);
}

function createAnswerHandler(method: DescMethod, call: Exclude<ServedCall, WatchCall>, serving: Serving) {
  const encode = (answer: Record<string, unknown>) => create(method.output, answer);
  return async (input: unknown, context: HandlerContext) => {
    try {
      const received = {
        caller: await clientOf(context).admit(),
        clientWaitsMs: context.timeoutMs() ?? Number.POSITIVE_INFINITY,
        onCancelled(listener: () => void) {
          if (context.signal.aborted) listener();
          else context.signal.addEventListener("abort", listener);
        },
      };
      return await runCall(method, call, input, received, serving, encode);
    } catch (error) {
      throw toConnectError(error);
    }
  };
}

// A stream takes a message when it asks for the next one, which it does when the one before has left for the socket. A
// slow reader therefore costs no more memory than the messages that its watch has outstanding.
function createWatchHandler(method: DescMethod, call: WatchCall, serving: Serving) {
  return async function* (request: WatchRequest, context: HandlerContext) {
    const { address, admit } = clientOf(context);
    const outstanding: { frames: Buffer; done: () => void }[] = [];
    let failure: ConnectError | undefined;
    let wake: (() => void) | undefined;
    const stream = {
      caller: await admit().catch((error: unknown) => {
        throw toConnectError(error);
      }),
      sink: {
        write(frames: Buffer, done: () => void) {
          outstanding.push({ frames, done });
          wake?.();
        },
      },
      peer: address,
      fail(error: unknown) {
        failure = toConnectError(error);
        wake?.();
      },
    };
    const close = runWatch(call, request, stream, serving);
    const onAbort = () => {
      close();
      wake?.();
    };
    context.signal.addEventListener("abort", onAbort);
    try {
      for (;;) {
        while (outstanding.length === 0 && failure === undefined && !context.signal.aborted) {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
        if (failure !== undefined) throw failure;
        context.signal.throwIfAborted();
        for (const { frames, done } of outstanding.splice(0, 1)) {
          for (const message of messagesOf(frames)) yield fromBinary(method.output, message);
          done();
        }
      }
    } finally {
      close();
    }
  };
}
