import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import type { ClientReadableStream, ServiceError } from "@grpc/grpc-js";
import { type Checkpoint, CursorSchema } from "../../../gen/squelch/v1/model_pb.js";
import {
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

/** The settings of a watch. */
export interface PermissionWatchOptions {
  eventIds: readonly string[];
  routerId: string;
  checkpointIntervalMs: number;
  /** Returns the wait before attempt n in a row, ms. The first attempt is 1. */
  retryDelayMs: (attempt: number) => number;
}

/** Receives the messages of a watch. */
export interface PermissionWatchListener {
  notice(notice: Notice): void;
  /** Called when all notices of the messages received so far for an event were passed on. */
  delivered(eventId: string): void;
  /** Called at a checkpoint when every change up to it was applied. */
  caughtUp(feedHealthy: boolean): void;
  /** Called when the stream has ended. Another attempt follows. */
  down(): void;
  /** Called when a replica has refused the stream. Another attempt follows after a long wait. */
  refused(error: ServiceError): void;
}

interface Assembly {
  first: Snapshot;
  users: UserMembership[];
  nextChunk: number;
}

/**
 * Keeps the mirror up to date through one WatchPermissions stream, until `close`. A stream that ended is opened again and
 * resumes from the positions of the mirror. A stream without a message for three checkpoint intervals counts as dead.
 */
export class PermissionWatch {
  readonly #mirror: PermissionMirror;
  readonly #options: PermissionWatchOptions;
  readonly #listener: PermissionWatchListener;
  readonly #logger: Logger;
  readonly #stream: LastingStream<WatchPermissionsResponse>;
  readonly #distrusted = new Set<string>();
  /** Snapshots of the current stream that are not complete yet. */
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

  /** Opens a stream now, also if the next attempt was planned for later. */
  open(): void {
    this.#stream.open();
  }

  /** Ends the stream. No further attempt follows. Idempotent. */
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
        for (const change of changes) this.#notify(this.#mirror.applyChange(eventId, epoch, change));
        this.#listener.delivered(eventId);
        return;
      }
      case "checkpoint":
        this.#receiveCheckpoint(payload.value);
        return;
      case "speakers":
      case undefined:
        // This watch does not ask for speakers. Undefined is a payload that a newer replica has added.
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
    this.#notify(this.#mirror.applySnapshot(picture, place));
    this.#listener.delivered(eventId);
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

  #notify(notices: Notice[]): void {
    for (const notice of notices) this.#listener.notice(notice);
  }
}
