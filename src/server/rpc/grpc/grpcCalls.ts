import { create, type DescMethod } from "@bufbuild/protobuf";
import type {
  handleClientStreamingCall,
  handleServerStreamingCall,
  handleUnaryCall,
  ServerUnaryCall,
  sendUnaryData,
  UntypedHandleCall,
} from "@grpc/grpc-js";
import { SquelchError } from "../../../domain/errors.js";
import type { WatchRequest } from "../call.js";
import { answerBefore, CallBudget, readToEnd } from "../callBudget.js";
import { type CallHead, createHead } from "../callContext.js";
import { runWatch } from "../runWatch.js";
import type { ClientStreamCall, UnaryCall, WaitCall, WatchCall } from "../services.js";
import { logDefect, type Serving } from "../serving.js";
import { toStatus } from "../status.js";
import { encodeAnswer } from "./encodeAnswer.js";
import { createFrameSink } from "./frameSink.js";
import { measured } from "./measuredCall.js";

/** Serves a call with grpc-js. */
export function createGrpcHandler(method: DescMethod, serving: Serving): UntypedHandleCall {
  const { metrics } = serving;
  const call = serving.calls(method);
  switch (call.kind) {
    case "unary":
      return measured(method, createUnaryHandler(method, call.handle, serving), metrics);
    case "wait":
      return measured(method, createWaitHandler(method, call.handle, serving), metrics);
    case "clientStream":
      return measured(method, createClientStreamHandler(method, call.handle, serving), metrics);
    case "watch":
      return createWatchHandler(method, call.open, serving) as UntypedHandleCall;
  }
}

// Answers a unary call within its deadline.
function createUnaryHandler(
  method: DescMethod,
  handle: UnaryCall,
  serving: Serving,
): handleUnaryCall<unknown, unknown> {
  return (call, callback) => answer(method, call, callback, serving, async (head) => handle(call.request, head));
}

// The same for a call that may wait for as long as its client lets it.
function createWaitHandler(method: DescMethod, handle: WaitCall, serving: Serving): handleUnaryCall<unknown, unknown> {
  return async (call, callback) => {
    const waiting = new AbortController();
    const end = (error: SquelchError) => waiting.abort(error);
    const endUnheard = () => end(new SquelchError("unavailable", "nobody waits for the answer any more"));
    serving.endings.add(end);
    call.on("cancelled", endUnheard);
    const answerBeforeMs = answerBefore(remainingMs(call));
    await answer(method, call, callback, serving, async (head) =>
      handle(call.request, head, { answerBeforeMs, signal: waiting.signal }),
    );
    serving.endings.delete(end);
    endUnheard();
  };
}

// Answers with what the work comes to, well or not, within the time that the call may take.
async function answer(
  method: DescMethod,
  call: ServerUnaryCall<unknown, unknown>,
  callback: sendUnaryData<unknown>,
  { logger }: Serving,
  work: (head: CallHead) => Promise<Record<string, unknown>>,
): Promise<void> {
  const head = headOf(call);
  const budget = new CallBudget(method);
  try {
    budget.start(remainingMs(call));
    callback(null, encodeAnswer(method, await budget.spendOn(work(head))));
  } catch (error) {
    logDefect(error, method, head, logger);
    callback(toStatus(error));
  }
}

// The time of a client stream runs from the end of the stream; until then it may break or be ended at any moment, and
// then the call never sees an end.
function createClientStreamHandler(
  method: DescMethod,
  handle: ClientStreamCall,
  { endings, logger }: Serving,
): handleClientStreamingCall<unknown, unknown> {
  return async (call, callback) => {
    const head = headOf(call);
    const budget = new CallBudget(method);
    const end = (error: SquelchError) => budget.fail(error);
    endings.add(end);
    const onEnd = () => {
      endings.delete(end);
      budget.start(remainingMs(call));
    };
    try {
      const requests = readToEnd(call.iterator({ destroyOnReturn: false }), () => call.cancelled, onEnd);
      const work = handle(requests, head);
      callback(null, create(method.output, await budget.spendOn(work)));
    } catch (error) {
      // Nobody waits for the answer of a call that was cancelled.
      if (call.cancelled) return;
      logDefect(error, method, head, logger);
      callback(toStatus(error));
    } finally {
      endings.delete(end);
    }
  };
}

function createWatchHandler(
  method: DescMethod,
  open: WatchCall,
  serving: Serving,
): handleServerStreamingCall<WatchRequest, Buffer> {
  return (call) => {
    const stream = {
      sink: createFrameSink(call),
      peer: call.getPeer(),
      head: headOf(call),
      fail: (error: unknown) => void call.emit("error", toStatus(error)),
    };
    const close = runWatch(method, open, call.request, stream, serving);
    for (const ending of ["cancelled", "close", "error"]) call.on(ending, close);
  };
}

function remainingMs(call: { getDeadline(): Date | number }): number {
  return Number(call.getDeadline()) - Date.now();
}

/** What a call of grpc-js says of who calls. */
export function headOf(call: Pick<ServerUnaryCall<unknown, unknown>, "metadata" | "getAuthContext">): CallHead {
  const { metadata } = call;
  return createHead(
    (key) => metadata.get(key)[0]?.toString(),
    () => call.getAuthContext().sslPeerCertificate,
  );
}
