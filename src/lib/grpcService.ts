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
  InterceptingCall,
  type Interceptor,
  Metadata,
  type MethodDefinition,
  type ServiceDefinition,
  type ServiceError,
  status,
} from "@grpc/grpc-js";

// Sends a Buffer as it is, so that one encoded message can be sent to many streams.
function serialize(schema: DescMessage, value: unknown): Buffer {
  if (Buffer.isBuffer(value)) return value;
  const bytes = toBinary(schema, value as MessageShape<DescMessage>);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** A request that could not be decoded. The handler receives it in place of the message. */
export class UndecodableRequest {
  constructor(
    /** What is wrong with the bytes. */
    readonly problem: string,
  ) {}
}

// grpc-js answers INTERNAL, without a reason, if a deserializer throws.
function deserializeRequest(schema: DescMessage, bytes: Buffer): MessageShape<DescMessage> | UndecodableRequest {
  try {
    return fromBinary(schema, bytes);
  } catch (error) {
    return new UndecodableRequest(error instanceof Error ? error.message : String(error));
  }
}

function methodDefinition(method: DescMethod): MethodDefinition<unknown, unknown> {
  return {
    path: `/${method.parent.typeName}/${method.name}`,
    requestStream: method.methodKind === "client_streaming" || method.methodKind === "bidi_streaming",
    responseStream: method.methodKind === "server_streaming" || method.methodKind === "bidi_streaming",
    requestSerialize: (value) => serialize(method.input, value),
    requestDeserialize: (bytes) => deserializeRequest(method.input, bytes),
    responseSerialize: (value) => serialize(method.output, value),
    responseDeserialize: (bytes) => fromBinary(method.output, bytes),
  };
}

/**
 * Returns the grpc-js definition of a service, keyed by local method name. Handlers may answer with encoded Buffers, and
 * receive an {@link UndecodableRequest} in place of a request that is not a message.
 */
export function grpcServiceDefinition(service: DescService): ServiceDefinition {
  return Object.fromEntries(service.methods.map((method) => [method.localName, methodDefinition(method)]));
}

// grpc-js reports INTERNAL if the server gives the connection up, for example after too many cancelled calls. That is a lost
// connection and not a defect of the server. The text is from grpc-js; a status of the server has its own text.
const GIVEN_UP = /^Received RST_STREAM with code 2\b/;

const reportGivenUpAsUnavailable: Interceptor = (options, nextCall) =>
  new InterceptingCall(nextCall(options), {
    start(metadata, _, next) {
      next(metadata, {
        onReceiveStatus(received, pass) {
          const isGivenUp = received.code === status.INTERNAL && GIVEN_UP.test(received.details);
          pass(isGivenUp ? { ...received, code: status.UNAVAILABLE } : received);
        },
      });
    },
  });

/** A grpc-js client for protobuf-es methods of any service on one channel. */
export class GrpcClient {
  readonly #client: Client;

  constructor(address: string, credentials: ChannelCredentials, options: ClientOptions = {}) {
    this.#client = new Client(address, credentials, { interceptors: [reportGivenUpAsUnavailable], ...options });
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
