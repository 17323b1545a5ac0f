import { create, type DescMethod, fromBinary } from "@bufbuild/protobuf";
import { ConnectError, type ConnectRouter, type HandlerContext, type ServiceImpl } from "@connectrpc/connect";
import { status } from "@grpc/grpc-js";
import { SquelchError } from "../../../domain/errors.js";
import { messagesOf } from "../../feed/wire/frame.js";
import type { WatchRequest } from "../call.js";
import { answerBefore, CallBudget, readToEnd } from "../callBudget.js";
import { type CallHead, createHead } from "../callContext.js";
import { runWatch } from "../runWatch.js";
import { type ClientStreamCall, services, type UnaryCall, type WaitCall, type WatchCall } from "../services.js";
import { logDefect, type Serving } from "../serving.js";
import { toStatus } from "../status.js";
import { peerKey } from "./httpPeer.js";

/** Serves all calls with Connect. */
export function addHttpCalls(router: ConnectRouter, serving: Serving): void {
  for (const service of services) {
    const served = service.methods.map((method) => [method.localName, createHttpHandler(method, serving)]);
    router.service(service, Object.fromEntries(served) as Partial<ServiceImpl<typeof service>>);
  }
}

function createHttpHandler(method: DescMethod, serving: Serving) {
  const call = serving.calls(method);
  switch (call.kind) {
    case "unary":
      return createUnaryHandler(method, call.handle, serving);
    case "wait":
      return createWaitHandler(method, call.handle, serving);
    case "clientStream":
      return createClientStreamHandler(method, call.handle, serving);
    case "watch":
      return createWatchHandler(method, call.open, serving);
  }
}

function createUnaryHandler(method: DescMethod, handle: UnaryCall, serving: Serving) {
  return (request: unknown, context: HandlerContext) =>
    answer(method, context, serving, (budget, head) => {
      budget.start(remainingMs(context));
      return handle(request, head);
    });
}

function createWaitHandler(method: DescMethod, handle: WaitCall, serving: Serving) {
  return (request: unknown, context: HandlerContext) =>
    answer(method, context, serving, async (budget, head) => {
      budget.start(remainingMs(context));
      const waiting = new AbortController();
      const end = (error: SquelchError) => waiting.abort(error);
      const endUnheard = () => end(new SquelchError("unavailable", "nobody waits for the answer any more"));
      serving.endings.add(end);
      context.signal.addEventListener("abort", endUnheard);
      const answerBeforeMs = answerBefore(remainingMs(context));
      try {
        return await handle(request, head, { answerBeforeMs, signal: waiting.signal });
      } finally {
        serving.endings.delete(end);
        endUnheard();
      }
    });
}

function createClientStreamHandler(method: DescMethod, handle: ClientStreamCall, serving: Serving) {
  return (requests: AsyncIterable<unknown>, context: HandlerContext) =>
    answer(method, context, serving, async (budget, head) => {
      const { endings } = serving;
      const end = (error: SquelchError) => budget.fail(error);
      endings.add(end);
      const onEnd = () => {
        endings.delete(end);
        budget.start(remainingMs(context));
      };
      try {
        return await handle(
          readToEnd(requests, () => context.signal.aborted, onEnd),
          head,
        );
      } finally {
        endings.delete(end);
      }
    });
}

// Answers with what the work comes to, well or not, within the time that the call may take.
async function answer(
  method: DescMethod,
  context: HandlerContext,
  { metrics, logger }: Serving,
  work: (budget: CallBudget, head: CallHead) => Promise<Record<string, unknown>>,
) {
  const head = headOf(context);
  const end = metrics.begin(method.name);
  context.signal.addEventListener("abort", () => end(status.CANCELLED));
  const budget = new CallBudget(method);
  try {
    const response = create(method.output, await budget.spendOn(work(budget, head)));
    end(status.OK);
    return response;
  } catch (error) {
    // Nobody waits for the answer of a call that was cancelled.
    if (!context.signal.aborted) logDefect(error, method, head, logger);
    end(toStatus(error).code);
    throw toConnectError(error);
  }
}

// A stream takes a message when it asks for the next, which it does when the one before has left for the socket: so that
// a slow reader costs no more than the messages that its watch has outstanding.
function createWatchHandler(method: DescMethod, open: WatchCall, serving: Serving) {
  return async function* (request: WatchRequest, context: HandlerContext) {
    const outstanding: { frames: Buffer; done: () => void }[] = [];
    let failure: ConnectError | undefined;
    let wake: (() => void) | undefined;
    const stream = {
      sink: {
        write(frames: Buffer, done: () => void) {
          outstanding.push({ frames, done });
          wake?.();
        },
      },
      peer: context.values.get(peerKey).address,
      head: headOf(context),
      fail(error: unknown) {
        failure = toConnectError(error);
        wake?.();
      },
    };
    const close = runWatch(method, open, request, stream, serving);
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

function remainingMs(context: HandlerContext): number {
  return context.timeoutMs() ?? Number.POSITIVE_INFINITY;
}

function headOf({ requestHeader, values }: HandlerContext): CallHead {
  return createHead((key) => requestHeader.get(key) ?? undefined, values.get(peerKey).certificate);
}

/** What the caller is told of a failure, as Connect has it. */
export function toConnectError(error: unknown): ConnectError {
  const { code, details, metadata } = toStatus(error);
  const headers = metadata?.getMap() as Record<string, string> | undefined;
  // The numbers of the codes are the same.
  return new ConnectError(details, code as number, headers);
}
