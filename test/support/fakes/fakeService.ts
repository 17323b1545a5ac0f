import {
  create,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  type DescService,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";
import {
  Metadata,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
  status,
  type UntypedHandleCall,
} from "@grpc/grpc-js";
import { SquelchError } from "../../../src/domain/errors.js";
import { grpcServiceDefinition } from "../../../src/lib/grpcService.js";
import { services } from "../../../src/server/contract.js";
import { encodeDetails } from "../../../src/server/rpc/errorDetails.js";
import type { methods } from "../clients/methods.js";

/** How a fake call fails: a gRPC status with its message. */
export class FakeFailure extends Error {
  constructor(
    readonly code: status,
    readonly details: string,
    readonly reason?: string,
    readonly metadata: Readonly<Record<string, string>> = {},
  ) {
    super(details);
  }
}

type Methods = typeof methods;

// Unary methods return an answer. Streaming methods yield messages, and an error that they throw ends the stream.
type FakeHandlers = {
  [K in keyof Methods]?: Methods[K] extends DescMethodUnary<infer I, infer O>
    ? (request: MessageShape<I>) => MessageInitShape<O> | Promise<MessageInitShape<O>>
    : Methods[K] extends DescMethodServerStreaming<infer I, infer O>
      ? (request: MessageShape<I>, cancelled: AbortSignal) => AsyncIterable<MessageInitShape<O>>
      : never;
};

type Answer = Record<string, unknown>;

interface FakeCall {
  method: string;
  request: unknown;
  metadata: Metadata;
}

function detailsOf({ code, details, reason, metadata }: FakeFailure): Metadata {
  const trailer = new Metadata();
  const error = new SquelchError("failedPrecondition", details, { reason, metadata });
  trailer.set("grpc-status-details-bin", encodeDetails(code, error));
  return trailer;
}

/** A gRPC server on a free port that answers with `handlers` and records the requests. */
export async function startFakeService(handlers: FakeHandlers) {
  const calls: FakeCall[] = [];
  const server = new Server();
  for (const service of services as readonly DescService[]) {
    const implementation: Record<string, UntypedHandleCall> = {};
    for (const method of service.methods) {
      const handler = handlers[method.localName as keyof FakeHandlers] as unknown;
      if (handler === undefined) continue;
      implementation[method.localName] =
        method.methodKind === "server_streaming"
          ? (call: ServerWritableStream<unknown, unknown>) => {
              calls.push({ method: method.localName, request: call.request, metadata: call.metadata });
              const cancelled = new AbortController();
              call.on("cancelled", () => cancelled.abort());
              const stream = handler as (request: unknown, cancelled: AbortSignal) => AsyncIterable<Answer>;
              void pump(stream(call.request, cancelled.signal), call, (value) => create(method.output, value));
            }
          : (call: ServerUnaryCall<unknown, unknown>, callback: sendUnaryData<unknown>) => {
              calls.push({ method: method.localName, request: call.request, metadata: call.metadata });
              const answer = handler as (request: unknown) => Answer;
              Promise.resolve(call.request)
                .then(answer)
                .then(
                  (value) => callback(null, create(method.output, value)),
                  (error) => callback(toStatus(error)),
                );
            };
    }
    server.addService(grpcServiceDefinition(service), implementation);
  }
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  return { address: `127.0.0.1:${port}`, calls, close: () => server.forceShutdown() };
}

async function pump(
  source: AsyncIterable<Answer>,
  call: ServerWritableStream<unknown, unknown>,
  encode: (value: Answer) => unknown,
): Promise<void> {
  try {
    for await (const value of source) call.write(encode(value));
    call.end();
  } catch (error) {
    call.emit("error", toStatus(error));
  }
}

function toStatus(error: unknown) {
  if (error instanceof FakeFailure) return { code: error.code, details: error.details, metadata: detailsOf(error) };
  return { code: status.INTERNAL, details: String(error) };
}
