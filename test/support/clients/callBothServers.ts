import {
  create,
  type DescMethod,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  type MessageInitShape,
} from "@bufbuild/protobuf";
import { type Code, ConnectError, type Transport } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { credentials, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { GrpcClient, grpcServiceDefinition } from "../../../src/lib/grpcService.js";
import type { Replica } from "../../../src/server/start.js";

/** The end of a call. A stream counts as successful after its first message. */
export interface CallEnd {
  code: string;
  message: string;
}

/** Calls one method of any kind with one request. */
export type CallAny = (method: DescMethod, request: object, headers?: Record<string, string>) => Promise<CallEnd>;

/** A caller for each server of a replica. */
export function connectBothServers(replica: Replica): { grpc: CallAny; http: CallAny; close(): void } {
  const client = new GrpcClient(replica.grpcAddress, credentials.createInsecure());
  const transport = createConnectTransport({ baseUrl: `http://${replica.httpAddress}`, httpVersion: "1.1" });
  return {
    grpc: (...call) => endOf(callGrpc(client, ...call)),
    http: (...call) => endOf(callHttp(transport, ...call)),
    close: () => client.close(),
  };
}

/** Returns the headers for a token; empty without one. */
export function bearer(token: string | undefined): Record<string, string> {
  return token === undefined ? {} : { authorization: `Bearer ${token}` };
}

async function callGrpc(client: GrpcClient, method: DescMethod, request: object, headers: Record<string, string> = {}) {
  const metadata = Metadata.fromHttp2Headers(headers);
  switch (method.methodKind) {
    case "unary":
      await client.unary(method as DescMethodUnary, request as MessageInitShape<DescMethod["input"]>, { metadata });
      return;
    case "client_streaming": {
      const { path, requestSerialize, responseDeserialize } = definitionOf(method);
      await new Promise<void>((resolve, reject) => {
        const answered = (error: ServiceError | null) => (error === null ? resolve() : reject(error));
        const call = client.raw.makeClientStreamRequest(
          path,
          requestSerialize,
          responseDeserialize,
          metadata,
          answered,
        );
        call.end(create(method.input, request as never));
      });
      return;
    }
    default: {
      const stream = client.serverStream(method as DescMethodServerStreaming, request as never, { metadata });
      await new Promise<void>((resolve, reject) => {
        stream.once("data", () => resolve());
        stream.on("error", reject);
      }).finally(() => stream.cancel());
    }
  }
}

function definitionOf(method: DescMethod) {
  const definition = grpcServiceDefinition(method.parent)[method.localName];
  if (definition === undefined) throw new Error(`no such method: ${method.name}`);
  return definition;
}

async function callHttp(
  transport: Transport,
  method: DescMethod,
  request: object,
  headers: Record<string, string> = {},
) {
  if (method.methodKind === "unary") {
    await transport.unary(method as DescMethodUnary, undefined, undefined, headers, request as never);
    return;
  }
  const cancelling = new AbortController();
  async function* requests() {
    yield request as never;
  }
  try {
    const { message } = await transport.stream(
      method as DescMethodServerStreaming,
      cancelling.signal,
      undefined,
      headers,
      requests(),
    );
    for await (const _ of message) return;
  } finally {
    cancelling.abort();
  }
}

async function endOf(call: Promise<void>): Promise<CallEnd> {
  try {
    await call;
    return { code: "OK", message: "" };
  } catch (error) {
    if (!(error instanceof ConnectError)) {
      const { code, details } = error as ServiceError;
      return { code: status[code] ?? String(code), message: details };
    }
    // The numbers of the codes of Connect and gRPC are equal.
    return { code: status[error.code as Code as number] ?? String(error.code), message: error.rawMessage };
  }
}
