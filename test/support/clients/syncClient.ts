import type { MessageInitShape } from "@bufbuild/protobuf";
import { create } from "@bufbuild/protobuf";
import { type CallOptions, Metadata } from "@grpc/grpc-js";
import {
  PermissionService,
  type SyncEventMembersRequestSchema,
  type SyncEventMembersResponse,
} from "../../../gen/squelch/v1/permission_service_pb.js";
import { type GrpcClient, grpcServiceDefinition } from "../../../src/lib/grpcService.js";

const method = PermissionService.method.syncEventMembers;
const definition = grpcServiceDefinition(PermissionService)[method.localName];

/** The path of the call. */
export const SYNC_PATH = `/${method.parent.typeName}/${method.name}`;

type SyncRequest = MessageInitShape<typeof SyncEventMembersRequestSchema>;

/** The bytes of one message of a stream. */
export function encodeSync(request: SyncRequest): Buffer {
  return definition?.requestSerialize(create(method.input, request)) as Buffer;
}

/** One SyncEventMembers stream that is still open. */
export interface SyncClient {
  write(request: SyncRequest): void;
  end(): void;
  cancel(): void;
  /** Rejects with a grpc-js ServiceError. */
  readonly answer: Promise<SyncEventMembersResponse>;
}

export function openSync(
  client: GrpcClient,
  { metadata = new Metadata(), ...options }: CallOptions & { metadata?: Metadata } = {},
): SyncClient {
  let settle: (error: unknown, response?: SyncEventMembersResponse) => void;
  const answer = new Promise<SyncEventMembersResponse>((resolve, reject) => {
    settle = (error, response) => (response === undefined ? reject(error) : resolve(response));
  });
  // A test may read it later.
  answer.catch(() => undefined);
  const call = client.raw.makeClientStreamRequest(
    SYNC_PATH,
    encodeSync,
    (bytes) => definition?.responseDeserialize(bytes) as SyncEventMembersResponse,
    metadata,
    options,
    (error, response) => settle(error, response),
  );
  return {
    write: (request) => void call.write(request),
    end: () => call.end(),
    cancel: () => call.cancel(),
    answer,
  };
}

/** Sends whole messages and ends the stream. */
export function sync(client: GrpcClient, ...requests: readonly SyncRequest[]): Promise<SyncEventMembersResponse> {
  const stream = openSync(client);
  for (const request of requests) stream.write(request);
  stream.end();
  return stream.answer;
}
