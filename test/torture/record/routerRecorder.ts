import type { ClientReadableStream, ServiceError } from "@grpc/grpc-js";
import { status } from "@grpc/grpc-js";
import {
  SnapshotReason,
  type WatchPermissionsRequest,
  type WatchPermissionsResponse,
} from "../../../gen/squelch/v1/permission_service_pb.js";
import { createLogger } from "../../../src/lib/logger.js";
import { PermissionClient } from "../../../src/router/client/permissionClient.js";
import { type Cursor, type RouterRecord, textOf } from "./history.js";
import { RouterPicture } from "./routerPicture.js";
import { writeIdOf } from "./witness.js";

/** The checkpoint interval, which the guarantee of convergence refers to, ms. */
export const CHECKPOINT_INTERVAL_MS = 1_000;

type WatchStream = ClientReadableStream<WatchPermissionsResponse>;

/** A router: the client that routers use, with a record of every message that it receives. */
export class RouterRecorder {
  readonly client: PermissionClient;
  readonly records: RouterRecord[] = [];
  /** The combined content of the messages so far. */
  readonly picture = new RouterPicture();
  #stream: WatchStream | undefined;

  /** @param eventIds all events if empty */
  constructor(
    readonly name: string,
    address: string,
    eventIds: readonly string[],
  ) {
    this.client = new PermissionClient({
      address,
      routerId: name,
      eventIds,
      checkpointIntervalMs: CHECKPOINT_INTERVAL_MS,
      logger: createLogger(name, "silent"),
    });
    const { rpc } = this.client;
    const open = rpc.serverStream.bind(rpc);
    rpc.serverStream = ((method, request, options) => {
      const stream = open(method, request, options);
      this.#listen(request as WatchPermissionsRequest, stream as unknown as WatchStream);
      return stream;
    }) as typeof open;
    this.client.start();
  }

  /** Stops or continues reading from the present stream. */
  setReading(isReading: boolean): void {
    if (isReading) this.#stream?.resume();
    else this.#stream?.pause();
  }

  /** True if a checkpoint since then has reported a healthy feed with everything delivered. */
  hasStoodSince(at: number): boolean {
    const last = this.records.findLast(({ kind }) => kind === "checkpoint" || kind === "ended" || kind === "opened");
    return last?.kind === "checkpoint" && last.isHealthy && last.at >= at;
  }

  close(): Promise<void> {
    return this.client.close();
  }

  #listen(request: WatchPermissionsRequest, stream: WatchStream): void {
    this.#stream = stream;
    this.#record({ kind: "opened", at: performance.now(), cursors: request.cursors.map(cursorOf) });
    let isOpen = true;
    const end = (code: string) => {
      if (!isOpen) return;
      isOpen = false;
      if (this.#stream === stream) this.#record({ kind: "ended", at: performance.now(), code });
    };
    stream.on("data", (message) => {
      if (this.#stream === stream && isOpen) this.#record(recordOf(message));
    });
    stream.on("error", (error: ServiceError) => end(status[error.code] ?? "UNKNOWN"));
    stream.on("end", () => end("END"));
  }

  #record(record: RouterRecord): void {
    this.records.push(record);
    this.picture.take(record);
  }
}

function cursorOf({ eventId, epoch, revision }: { eventId: string; epoch: string; revision: bigint }): Cursor {
  return { eventId, epoch, revision: Number(revision) };
}

function recordOf({ payload }: WatchPermissionsResponse): RouterRecord {
  const at = performance.now();
  switch (payload.case) {
    case "snapshot": {
      const { eventId, cursor, users, reason, chunkIndex, complete: isComplete } = payload.value;
      return {
        kind: "snapshot",
        at,
        ...cursorOf(cursor ?? { eventId, epoch: "", revision: -1n }),
        eventId,
        reason: SnapshotReason[reason] ?? "unknown",
        chunkIndex,
        isComplete,
        users: users.map(({ userId, channelIds }) => [userId, textOf(channelIds)]),
      };
    }
    case "changes": {
      const { eventId, epoch, changes } = payload.value;
      const entries = changes.map(({ revision, actor, kind }) => {
        if (kind.case !== "membershipChanged") throw new Error(`the suite makes no change of kind ${kind.case}`);
        const { userId, channelIds, action } = kind.value;
        const writeId = writeIdOf(actor, action);
        return { eventId, epoch, revision: Number(revision), userId, channels: textOf(channelIds), writeId, actor };
      });
      return { kind: "changes", at, eventId, epoch, entries };
    }
    case "checkpoint":
      return {
        kind: "checkpoint",
        at,
        isHealthy: payload.value.feedHealthy,
        cursors: payload.value.cursors.map(cursorOf),
      };
    case "speakers":
      throw new Error("speakers, which were not requested");
    case undefined:
      throw new Error("a message without payload");
  }
}
