import {
  create,
  type DescMessage,
  type DescMethod,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  type DescService,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import {
  type CallOptions,
  type ChannelCredentials,
  Client,
  type ClientOptions,
  type ClientReadableStream,
  Metadata,
  type MethodDefinition,
  type ServiceDefinition,
  type ServiceError,
} from "@grpc/grpc-js";

// Sends a Buffer as it is, so that one encoded message can be sent to many streams.
function serialize(schema: DescMessage, value: unknown): Buffer {
  if (Buffer.isBuffer(value)) return value;
  const bytes = toBinary(schema, value as MessageShape<DescMessage>);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function methodDefinition(method: DescMethod): MethodDefinition<unknown, unknown> {
  return {
    path: `/${method.parent.typeName}/${method.name}`,
    requestStream: method.methodKind === "client_streaming" || method.methodKind === "bidi_streaming",
    responseStream: method.methodKind === "server_streaming" || method.methodKind === "bidi_streaming",
    requestSerialize: (value) => serialize(method.input, value),
    requestDeserialize: (bytes) => fromBinary(method.input, bytes),
    responseSerialize: (value) => serialize(method.output, value),
    responseDeserialize: (bytes) => fromBinary(method.output, bytes),
  };
}

/** Returns the grpc-js definition of a service, keyed by local method name. Methods may answer with encoded Buffers. */
export function grpcServiceDefinition(service: DescService): ServiceDefinition {
  return Object.fromEntries(service.methods.map((method) => [method.localName, methodDefinition(method)]));
}

/** A grpc-js client for protobuf-es methods of any service on one channel. */
export class GrpcClient {
  readonly #client: Client;

  constructor(address: string, credentials: ChannelCredentials, options: ClientOptions = {}) {
    this.#client = new Client(address, credentials, options);
  }

  /** The grpc-js client, which gives access to the channel and its connectivity state. */
  get raw(): Client {
    return this.#client;
  }

  /** Makes a unary call. Rejects with a grpc-js ServiceError. `signal` cancels the call. */
  unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    options: CallOptions & { metadata?: Metadata; signal?: AbortSignal } = {},
  ): Promise<MessageShape<O>> {
    const { metadata = new Metadata(), signal, ...callOptions } = options;
    const definition = methodDefinition(method);
    return new Promise((resolve, reject) => {
      const cancel = () => call.cancel();
      const call = this.#client.makeUnaryRequest(
        definition.path,
        definition.requestSerialize,
        (bytes) => fromBinary(method.output, bytes),
        create(method.input, request),
        metadata,
        callOptions,
        (error: ServiceError | null, response?: MessageShape<O>) => {
          signal?.removeEventListener("abort", cancel);
          if (error !== null) reject(error);
          else resolve(response as MessageShape<O>);
        },
      );
      if (signal?.aborted) cancel();
      else signal?.addEventListener("abort", cancel, { once: true });
    });
  }

  /** Opens a server stream. The caller must listen for `error` and end the stream with `cancel()`. */
  serverStream<I extends DescMessage, O extends DescMessage>(
    method: DescMethodServerStreaming<I, O>,
    request: MessageInitShape<I>,
    options: CallOptions & { metadata?: Metadata } = {},
  ): ClientReadableStream<MessageShape<O>> {
    const { metadata = new Metadata(), ...callOptions } = options;
    const definition = methodDefinition(method);
    return this.#client.makeServerStreamRequest(
      definition.path,
      definition.requestSerialize,
      (bytes) => fromBinary(method.output, bytes),
      create(method.input, request),
      metadata,
      callOptions,
    );
  }

  close(): void {
    this.#client.close();
  }
}
