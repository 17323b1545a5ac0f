import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { connectivityState, type Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { CursorSchema } from "../../gen/squelch/v1/model_pb.js";
import {
  type Checkpoint,
  PermissionService,
  type Snapshot,
  type UserMembership,
  type WatchPermissionsResponse,
} from "../../gen/squelch/v1/permission_service_pb.js";
import type { GrpcClient } from "../lib/grpcService.js";
import type { Logger } from "../lib/logger.js";
import type { Notice } from "./permissionEvents.js";
import { type PermissionMirror, WatchViolation } from "./permissionMirror.js";

const SILENT_INTERVALS = 3;
const REFUSED_ATTEMPT = 6;
/** How far the routers that see the same replica go or come back are spread. */
const WAKE_SPREAD_MS = 500;
/** The trailer by which a replica says when a repeat is welcome (gRFC A6). */
const PUSHBACK_KEY = "grpc-retry-pushback-ms";
const MAX_PUSHBACK_MS = 30_000;

// To repeat the same request at once is of no use: somebody has to change something first.
const refusals = new Set([
  status.INVALID_ARGUMENT,
  status.UNAUTHENTICATED,
  status.PERMISSION_DENIED,
  status.UNIMPLEMENTED,
]);

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
  readonly #grpc: GrpcClient;
  readonly #mirror: PermissionMirror;
  readonly #options: PermissionWatchOptions;
  readonly #listener: PermissionWatchListener;
  readonly #logger: Logger;
  readonly #distrusted = new Set<string>();
  #attempt = 0;
  #retry: NodeJS.Timeout | undefined;
  #endStream: (() => void) | undefined;
  #isClosed = false;

  constructor(
    grpc: GrpcClient,
    mirror: PermissionMirror,
    options: PermissionWatchOptions,
    listener: PermissionWatchListener,
    logger: Logger,
  ) {
    this.#grpc = grpc;
    this.#mirror = mirror;
    this.#options = options;
    this.#listener = listener;
    this.#logger = logger;
  }

  /** Opens a stream now; one that waits to be tried again waits no longer. */
  open(): void {
    if (this.#isClosed || this.#endStream) return;
    clearTimeout(this.#retry);
    this.#retry = undefined;
    const { eventIds, routerId, checkpointIntervalMs } = this.#options;
    const cursors = this.#mirror
      .cursors()
      .filter(({ eventId }) => !this.#distrusted.has(eventId))
      .map((cursor) => create(CursorSchema, { ...cursor, revision: BigInt(cursor.revision) }));
    const stream = this.#grpc.serverStream(PermissionService.method.watchPermissions, {
      eventIds: [...eventIds],
      cursors,
      routerId,
      checkpointInterval: durationFromMs(checkpointIntervalMs),
    });
    const assemblies = new Map<string, Assembly>();
    const end = (error?: Error) => {
      if (this.#endStream !== end) return;
      this.#endStream = undefined;
      clearTimeout(silence);
      stream.cancel();
      if (this.#isClosed) return;
      this.#listener.down();
      this.#retryLater(error);
    };
    this.#endStream = end;
    const silentMs = SILENT_INTERVALS * checkpointIntervalMs;
    const silence = setTimeout(() => end(new Error(`no message came for ${silentMs} ms`)), silentMs);
    stream.on("error", end);
    stream.on("end", () => end());
    stream.on("data", (message: WatchPermissionsResponse) => {
      if (this.#endStream !== end) return;
      silence.refresh();
      try {
        this.#receive(message, assemblies);
      } catch (error) {
        if (!(error instanceof WatchViolation)) throw error;
        this.#distrusted.add(error.eventId);
        end(error);
      }
    });
  }

  /** Ends the stream and all attempts. Idempotent. */
  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#retry);
    this.#endStream?.();
  }

  #receive({ payload }: WatchPermissionsResponse, assemblies: Map<string, Assembly>): void {
    switch (payload.case) {
      case "snapshot":
        this.#receiveChunk(payload.value, assemblies);
        return;
      case "changes": {
        const { eventId, epoch, changes } = payload.value;
        for (const change of changes) this.#tell(this.#mirror.applyChange(eventId, epoch, change));
        this.#listener.told(eventId);
        return;
      }
      case "checkpoint":
        this.#receiveCheckpoint(payload.value, assemblies);
        return;
      case "speakers":
      case undefined:
        // Not asked for, or a payload that a newer replica has added.
        return;
    }
  }

  #receiveChunk(chunk: Snapshot, assemblies: Map<string, Assembly>): void {
    const { eventId, cursor } = chunk;
    if (chunk.chunkIndex === 0) assemblies.set(eventId, { first: chunk, users: [], nextChunk: 0 });
    const assembly = assemblies.get(eventId);
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
    assemblies.delete(eventId);
    this.#distrusted.delete(eventId);
    const { pause, reason } = first;
    const place = { epoch: cursor.epoch, revision: Number(cursor.revision) };
    this.#logger.debug({ eventId, ...place, users: assembly.users.length, reason }, "snapshot received");
    const picture = { eventId, users: assembly.users, reason, ...(pause && { pause }) };
    this.#tell(this.#mirror.applySnapshot(picture, place));
    this.#listener.told(eventId);
  }

  #receiveCheckpoint(checkpoint: Checkpoint, assemblies: Map<string, Assembly>): void {
    const awaited = new Set(this.#options.eventIds);
    let isCaughtUp = true;
    for (const { eventId, epoch, revision } of checkpoint.cursors) {
      awaited.delete(eventId);
      const cursor = this.#mirror.cursor(eventId);
      if (assemblies.has(eventId) || cursor === undefined) isCaughtUp = false;
      else if (cursor.epoch !== epoch || cursor.revision < Number(revision)) {
        throw new WatchViolation(`checkpoint at ${revision}, but delivered up to ${cursor.revision}`, eventId);
      }
    }
    if (!isCaughtUp || awaited.size > 0) return;
    this.#attempt = 0;
    this.#listener.caughtUp(checkpoint.feedHealthy);
  }

  #tell(notices: Notice[]): void {
    for (const notice of notices) this.#listener.notice(notice);
  }

  #retryLater(error: Error | undefined): void {
    this.#attempt += 1;
    const { code, metadata } = (error ?? {}) as Partial<ServiceError>;
    const isRefused = code !== undefined && refusals.has(code);
    const backoffMs = this.#options.retryDelayMs(isRefused ? REFUSED_ATTEMPT : this.#attempt);
    const isFirst = this.#attempt === 1 && code === status.UNAVAILABLE;
    const delayMs = isFirst ? Math.min(backoffMs, this.#firstDelayMs(metadata)) : backoffMs;
    const fields = { err: error, attempt: this.#attempt, delayMs };
    if (error instanceof WatchViolation)
      this.#logger.error({ ...fields, eventId: error.eventId }, "watch out of order");
    else if (isRefused) this.#logger.error(fields, "watch refused");
    else this.#logger.warn(fields, "watch ended");
    this.#retry = setTimeout(() => this.open(), delayMs);
    if (!isRefused) this.#wakeOnConnection(this.#retry, delayMs);
  }

  // The wait after a stream that was healthy: what the replica asked for, else, where another one can be reached, just
  // long enough not to arrive there with everybody else.
  #firstDelayMs(metadata: Metadata | undefined): number {
    const [pushback] = metadata?.get(PUSHBACK_KEY) ?? [];
    const pushbackMs = /^\d+$/.test(`${pushback}`) ? Number(pushback) : Infinity;
    if (pushbackMs <= MAX_PUSHBACK_MS) return pushbackMs;
    const isReachable = this.#grpc.raw.getChannel().getConnectivityState(false) === connectivityState.READY;
    return isReachable ? Math.random() * WAKE_SPREAD_MS : Infinity;
  }

  // A replica that can be reached again is worth an attempt before the wait is over.
  #wakeOnConnection(retry: NodeJS.Timeout, delayMs: number): void {
    const channel = this.#grpc.raw.getChannel();
    const state = channel.getConnectivityState(true);
    if (state === connectivityState.READY || state === connectivityState.SHUTDOWN) return;
    channel.watchConnectivityState(state, Date.now() + delayMs, (deadlinePassed) => {
      if (deadlinePassed !== undefined || this.#retry !== retry || this.#isClosed) return;
      if (channel.getConnectivityState(true) !== connectivityState.READY) {
        this.#wakeOnConnection(retry, delayMs);
        return;
      }
      clearTimeout(retry);
      // Should this attempt come too early, since the replica has only just started, the next one must not come late.
      this.#attempt = Math.min(this.#attempt, 1);
      this.#retry = setTimeout(() => this.open(), Math.random() * WAKE_SPREAD_MS);
    });
  }
}
