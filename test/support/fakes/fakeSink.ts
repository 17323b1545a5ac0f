import { fromBinary } from "@bufbuild/protobuf";
import {
  type WatchPermissionsResponse,
  WatchPermissionsResponseSchema,
} from "../../../gen/squelch/v1/permission_service_pb.js";
import type { WatchSink } from "../../../src/server/feed/watcher.js";
import { messagesOf } from "../../../src/server/feed/wire/frame.js";

/** A sink that a test opens and closes: it is ready for the next message only while `isReading`. */
export class FakeSink implements WatchSink {
  /** The frames of each write. */
  readonly buffers: Buffer[] = [];
  /** Called with each message as it is written. */
  onMessage: ((message: WatchPermissionsResponse) => void) | undefined;
  #outstanding: (() => void) | undefined;
  #isReading = true;

  write(frames: Buffer, done: () => void): void {
    if (this.#outstanding !== undefined) throw new Error("a write was made while another was outstanding");
    this.buffers.push(frames);
    for (const message of messagesOf(frames)) this.onMessage?.(fromBinary(WatchPermissionsResponseSchema, message));
    this.#outstanding = done;
    if (this.#isReading) queueMicrotask(() => this.#accept());
  }

  get messages(): WatchPermissionsResponse[] {
    return this.buffers.flatMap(messagesOf).map((message) => fromBinary(WatchPermissionsResponseSchema, message));
  }

  set isReading(isReading: boolean) {
    this.#isReading = isReading;
    if (isReading) this.#accept();
  }

  #accept(): void {
    const done = this.#outstanding;
    this.#outstanding = undefined;
    done?.();
  }
}
