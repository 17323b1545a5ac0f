import type { DescMethod } from "@bufbuild/protobuf";
import type { AnswerOf, MethodName, Methods, RequestOf } from "../contract.js";
import type { WatchSink } from "../feed/watcher.js";
import type { CallContext } from "./callContext.js";
import type { OpenWatch } from "./calls/watch.js";
import type { OngoingCall } from "./ongoingCall.js";

/** The fields of the response message. A call that fails rejects. */
export type Answer = Promise<Record<string, unknown>>;

/** The fields that the requests of all watches have. */
export interface WatchRequest {
  eventIds: string[];
  routerId?: string;
}

/** A call with one request and one answer. */
export interface UnaryCall {
  kind: "unary";
  handle(request: unknown, call: OngoingCall): Answer;
}

/** A call that reads a stream of requests and then answers once. An error of the stream passes through the handler. */
export interface ClientStreamCall {
  kind: "clientStream";
  handle(requests: AsyncIterable<unknown>, call: OngoingCall): Answer;
}

/** A call that answers with a stream of encoded messages until it fails or is closed. */
export interface WatchCall {
  kind: "watch";
  /**
   * @param fail called when the watch cannot continue. The watch is then closed.
   * @throws the error that prevents the watch from opening
   */
  open(request: WatchRequest, call: OngoingCall, sink: WatchSink, fail: (error: unknown) => void): OpenWatch;
}

/** The implementation of a call. */
export type ServedCall = UnaryCall | ClientStreamCall | WatchCall;

/** Returns the implementation of a method of the served services. */
export type ServedCalls = (method: DescMethod) => ServedCall;

/** Returns the call of a method with something added before, around or after it. */
export type Interceptor = (method: DescMethod, call: ServedCall) => ServedCall;

/** Wraps a call that answers once: `around` runs `work` and may do something before and after it. */
export function aroundAnswer(
  call: UnaryCall | ClientStreamCall,
  around: (ongoing: OngoingCall, work: () => Answer) => Answer,
): ServedCall {
  return call.kind === "unary"
    ? { kind: "unary", handle: (request, ongoing) => around(ongoing, () => call.handle(request, ongoing)) }
    : { kind: "clientStream", handle: (requests, ongoing) => around(ongoing, () => call.handle(requests, ongoing)) };
}

/** The function that serves a method, by the kind of the method. */
export type Handler<Name extends MethodName> = Methods[Name] extends { methodKind: "unary" }
  ? (request: RequestOf<Name>, context: CallContext) => Promise<AnswerOf<Name>>
  : Methods[Name] extends { methodKind: "client_streaming" }
    ? (requests: AsyncIterable<RequestOf<Name>>, context: CallContext) => Promise<AnswerOf<Name>>
    : Methods[Name] extends { methodKind: "server_streaming" }
      ? (request: RequestOf<Name>, context: CallContext, sink: WatchSink, fail: (error: unknown) => void) => OpenWatch
      : never;

/** A handler for each method of all services. A missing or misspelt one does not compile. */
export type Handlers = { readonly [Name in MethodName]: Handler<Name> };
