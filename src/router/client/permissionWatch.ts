import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import type { ClientReadableStream, ServiceError } from "@grpc/grpc-js";
import { CursorSchema } from "../../../gen/squelch/v1/model_pb.js";
import {
  type Checkpoint,
  PermissionService,
  type Snapshot,
  type UserMembership,
  type WatchPermissionsResponse,
} from "../../../gen/squelch/v1/permission_service_pb.js";
import type { GrpcClient } from "../../lib/grpcService.js";
import type { Logger } from "../../lib/logger.js";
import { LastingStream } from "./lastingStream.js";
import type { Notice } from "./permissionEvents.js";
import { type PermissionMirror, WatchViolation } from "./permissionMirror.js";

const SILENT_INTERVALS = 3;

/** What is watched, and how. */
export interface PermissionWatchOptions {
  eventIds: readonly string[];
  routerId: string;
  checkpointIntervalMs: number;
  /** The wait before the nth attempt in a row, from 1. */
  retryDelayMs: (attempt: number) => number;
}

/** Who is told what the stream brings. */
export interface PermissionWatchListener {
  notice(notice: Notice): void;
  /** All notices of what is known of an event by now have been told. */
  told(eventId: string): void;
  /** Everything up to now has been applied. */
  caughtUp(feedHealthy: boolean): void;
  /** The stream is gone; another attempt follows. */
  down(): void;
  /** A replica has refused the stream; another attempt follows after a long wait. */
  refused(error: ServiceError): void;
}

interface Assembly {
  first: Snapshot;
  users: UserMembership[];
  nextChunk: number;
}

/**
 * Keeps one WatchPermissions stream open, and through it the mirror up to date, until it is closed. Each stream resumes
 * where the mirror stands. A stream that is silent for three checkpoint intervals is taken for dead.
 */
export class PermissionWatch {
  readonly #mirror: PermissionMirror;
  readonly #options: PermissionWatchOptions;
  readonly #listener: PermissionWatchListener;
  readonly #logger: Logger;
  readonly #stream: LastingStream<WatchPermissionsResponse>;
  readonly #distrusted = new Set<string>();
  /** Snapshots of which a part has come through the present stream. */
  #assemblies = new Map<string, Assembly>();

  constructor(
    grpc: GrpcClient,
    mirror: PermissionMirror,
    options: PermissionWatchOptions,
    listener: PermissionWatchListener,
    logger: Logger,
  ) {
    this.#mirror = mirror;
    this.#options = options;
    this.#listener = listener;
    this.#logger = logger;
    const { checkpointIntervalMs, retryDelayMs } = options;
    const silentMs = SILENT_INTERVALS * checkpointIntervalMs;
    const stream = {
      open: () => this.#openStream(grpc),
      receive: (message: WatchPermissionsResponse) => this.#receive(message),
      down: () => this.#listener.down(),
      refused: (error: ServiceError) => this.#listener.refused(error),
      silentMs,
      retryDelayMs,
    };
    this.#stream = new LastingStream(grpc, stream, logger);
  }

  /** Opens a stream now; one that waits to be tried again waits no longer. */
  open(): void {
    this.#stream.open();
  }

  /** Ends the stream and all attempts. Idempotent. */
  close(): void {
    this.#stream.close();
  }

  #openStream(grpc: GrpcClient): ClientReadableStream<WatchPermissionsResponse> {
    const { eventIds, routerId, checkpointIntervalMs } = this.#options;
    this.#assemblies = new Map();
    const cursors = this.#mirror
      .cursors()
      .filter(({ eventId }) => !this.#distrusted.has(eventId))
      .map((cursor) => create(CursorSchema, { ...cursor, revision: BigInt(cursor.revision) }));
    return grpc.serverStream(PermissionService.method.watchPermissions, {
      eventIds: [...eventIds],
      cursors,
      routerId,
      checkpointInterval: durationFromMs(checkpointIntervalMs),
    });
  }

  #receive(message: WatchPermissionsResponse): void {
    try {
      this.#apply(message);
    } catch (error) {
      if (!(error instanceof WatchViolation)) throw error;
      const { eventId } = error;
      this.#logger.error({ err: error, eventId }, "watch out of order");
      this.#distrusted.add(eventId);
      this.#stream.fail(error);
    }
  }

  #apply({ payload }: WatchPermissionsResponse): void {
    switch (payload.case) {
      case "snapshot":
        this.#receiveChunk(payload.value);
        return;
      case "changes": {
        const { eventId, epoch, changes } = payload.value;
        for (const change of changes) this.#tell(this.#mirror.applyChange(eventId, epoch, change));
        this.#listener.told(eventId);
        return;
      }
      case "checkpoint":
        this.#receiveCheckpoint(payload.value);
        return;
      case "speakers":
      case undefined:
        // Not asked for, or a payload that a newer replica has added.
        return;
    }
  }

  #receiveChunk(chunk: Snapshot): void {
    const { eventId, cursor } = chunk;
    if (chunk.chunkIndex === 0) this.#assemblies.set(eventId, { first: chunk, users: [], nextChunk: 0 });
    const assembly = this.#assemblies.get(eventId);
    if (assembly === undefined || chunk.chunkIndex !== assembly.nextChunk || cursor === undefined) {
      throw new WatchViolation(`chunk ${chunk.chunkIndex} of a snapshot is out of place`, eventId);
    }
    const { first } = assembly;
    if (cursor.epoch !== first.cursor?.epoch || cursor.revision !== first.cursor.revision) {
      throw new WatchViolation("a snapshot changed its cursor", eventId);
    }
    for (const user of chunk.users) assembly.users.push(user);
    assembly.nextChunk += 1;
    if (!chunk.complete) return;
    this.#assemblies.delete(eventId);
    this.#distrusted.delete(eventId);
    const { pause, reason } = first;
    const place = { epoch: cursor.epoch, revision: Number(cursor.revision) };
    this.#logger.debug({ eventId, ...place, users: assembly.users.length, reason }, "snapshot received");
    const picture = { eventId, users: assembly.users, reason, ...(pause && { pause }) };
    this.#tell(this.#mirror.applySnapshot(picture, place));
    this.#listener.told(eventId);
  }

  #receiveCheckpoint(checkpoint: Checkpoint): void {
    const awaited = new Set(this.#options.eventIds);
    let isCaughtUp = true;
    for (const { eventId, epoch, revision } of checkpoint.cursors) {
      awaited.delete(eventId);
      const cursor = this.#mirror.cursor(eventId);
      if (this.#assemblies.has(eventId) || cursor === undefined) isCaughtUp = false;
      else if (cursor.epoch !== epoch || cursor.revision < Number(revision)) {
        throw new WatchViolation(`checkpoint at ${revision}, but delivered up to ${cursor.revision}`, eventId);
      }
    }
    if (!isCaughtUp || awaited.size > 0) return;
    this.#stream.succeeded();
    this.#listener.caughtUp(checkpoint.feedHealthy);
  }

  #tell(notices: Notice[]): void {
    for (const notice of notices) this.#listener.notice(notice);
  }
}
