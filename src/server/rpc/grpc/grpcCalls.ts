import type { DescMethod } from "@bufbuild/protobuf";
import type {
  handleServerStreamingCall,
  ServerReadableStream,
  ServerUnaryCall,
  sendUnaryData,
  UntypedHandleCall,
} from "@grpc/grpc-js";
import { refusal, type SquelchError } from "../../../domain/errors.js";
import { UndecodableRequest } from "../../../lib/grpcService.js";
import type { ServedCall, WatchCall, WatchRequest } from "../call.js";
import { type ReceivedCall, runCall } from "../runCall.js";
import { runWatch } from "../runWatch.js";
import type { Serving } from "../serving.js";
import { CallCancelled, toStatus } from "../status.js";
import { encodeAnswer } from "./encodeAnswer.js";
import { createFrameSink } from "./frameSink.js";
import { callerOf } from "./grpcAdmission.js";

/** A call that answers once, of either kind. */
type AnsweringCall = ServerUnaryCall<unknown, unknown> | ServerReadableStream<unknown, unknown>;

/** Serves a call with grpc-js. */
export function createGrpcHandler(method: DescMethod, serving: Serving): UntypedHandleCall {
  const call = serving.calls(method);
  if (call.kind === "watch") return createWatchHandler(method, call, serving) as UntypedHandleCall;
  return createAnswerHandler(method, call, serving) as UntypedHandleCall;
}

function createAnswerHandler(method: DescMethod, call: Exclude<ServedCall, WatchCall>, serving: Serving) {
  const encode = (answer: Record<string, unknown>) => encodeAnswer(method, answer);
  return (received: AnsweringCall, callback: sendUnaryData<unknown>) => {
    const input =
      call.kind === "unary"
        ? (received as ServerUnaryCall<unknown, unknown>).request
        : decodedOf(method, (received as ServerReadableStream<unknown, unknown>).iterator({ destroyOnReturn: false }));
    if (input instanceof UndecodableRequest) return callback(toStatus(malformed(method, input)));
    runCall(method, call, input, describe(received), serving, encode).then(
      (answer) => callback(null, answer),
      (error: unknown) => {
        if (!(error instanceof CallCancelled)) callback(toStatus(error));
      },
    );
  };
}

async function* decodedOf(method: DescMethod, requests: AsyncIterable<unknown>): AsyncIterable<unknown> {
  for await (const request of requests) {
    if (request instanceof UndecodableRequest) throw malformed(method, request);
    yield request;
  }
}

function malformed({ input }: DescMethod, { problem }: UndecodableRequest): SquelchError {
  return refusal("MALFORMED", `the bytes are not a message of the type ${input.typeName}: ${problem}`, {});
}

function describe(received: AnsweringCall): ReceivedCall {
  return {
    caller: callerOf(received),
    clientWaitsMs: Number(received.getDeadline()) - Date.now(),
    onCancelled(listener) {
      if (received.cancelled) listener();
      else received.on("cancelled", listener);
    },
  };
}

function createWatchHandler(
  method: DescMethod,
  call: WatchCall,
  serving: Serving,
): handleServerStreamingCall<WatchRequest | UndecodableRequest, Buffer> {
  return (received) => {
    const stream = {
      caller: callerOf(received),
      sink: createFrameSink(received),
      peer: received.getPeer(),
      fail: (error: unknown) => void received.emit("error", toStatus(error)),
    };
    if (received.request instanceof UndecodableRequest) return stream.fail(malformed(method, received.request));
    const close = runWatch(call, received.request, stream, serving);
    for (const ending of ["cancelled", "close", "error"]) received.on(ending, close);
  };
}
