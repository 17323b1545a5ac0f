import type { MessageInitShape } from "@bufbuild/protobuf";
import { credentials, Metadata, type ServiceError } from "@grpc/grpc-js";
import {
  PermissionService,
  type WatchPermissionsRequestSchema,
} from "../../../gen/squelch/v1/permission_service_pb.js";
import { GrpcClient } from "../../../src/lib/grpcService.js";
import { waitFor } from "../waitFor.js";
import { WatchedPicture } from "./watchedPicture.js";

/** A client of a replica for tests; close it. */
export function connect(address: string): GrpcClient {
  return new GrpcClient(address, credentials.createInsecure());
}

/** One WatchPermissions stream and the messages that it has received. */
export interface WatchClient {
  readonly picture: WatchedPicture;
  /** The error that ended the stream, or the promise that the stream broke. */
  readonly error: (Partial<ServiceError> & Error) | undefined;
  /** Pauses or resumes reading. */
  setReading(isReading: boolean): void;
  /** Resolves when the stream reports for the first time that it is caught up. */
  caughtUp(): Promise<void>;
  /** Resolves when the stream has ended, with the reason. */
  ended(timeoutMs?: number): Promise<Partial<ServiceError> & Error>;
  close(): void;
}

/** Opens a watch on a client. */
export function watchOn(
  client: GrpcClient,
  request: MessageInitShape<typeof WatchPermissionsRequestSchema>,
  {
    picture = new WatchedPicture({ isFiltered: (request.userIds ?? []).length > 0 }),
    metadata = new Metadata(),
  }: { picture?: WatchedPicture; metadata?: Metadata } = {},
): WatchClient {
  const stream = client.serverStream(PermissionService.method.watchPermissions, request, { metadata });
  let error: (Partial<ServiceError> & Error) | undefined;
  stream.on("data", (message) => {
    try {
      picture.apply(message);
    } catch (breach) {
      error ??= breach as Error;
      stream.cancel();
    }
  });
  stream.on("error", (reason: ServiceError) => {
    error ??= reason;
  });
  return {
    picture,
    get error() {
      return error;
    },
    setReading: (isReading) => void (isReading ? stream.resume() : stream.pause()),
    async caughtUp() {
      const isCaughtUp = () => {
        if (error !== undefined) throw error;
        return picture.checkpoints.length > 0;
      };
      await waitFor(isCaughtUp, { message: "a checkpoint" });
    },
    ended: (timeoutMs = 5_000) => waitFor(() => error, { timeoutMs, message: "the stream to end" }),
    close: () => stream.cancel(),
  };
}
