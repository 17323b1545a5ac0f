import { type ClientReadableStream, connectivityState, type Metadata, type ServiceError, status } from "@grpc/grpc-js";
import type { GrpcClient } from "../../lib/grpcService.js";
import type { Logger } from "../../lib/logger.js";

const REFUSED_ATTEMPT = 6;
/** Routers that see a replica stop or return at the same time reconnect within this random time, ms. */
const WAKE_SPREAD_MS = 500;
/** The trailer with the delay that a replica asks for before the next attempt (gRFC A6). */
const PUSHBACK_KEY = "grpc-retry-pushback-ms";
const MAX_PUSHBACK_MS = 30_000;

// After these codes the same request fails again until the request or the configuration changes.
const refusals = new Set([
  status.INVALID_ARGUMENT,
  status.UNAUTHENTICATED,
  status.PERMISSION_DENIED,
  status.UNIMPLEMENTED,
]);

/** The callbacks and settings of a {@link LastingStream}. Only `receive` may throw. */
export interface LastingStreamParts<Message> {
  /** Opens the next stream. */
  open(): ClientReadableStream<Message>;
  /** Handles one message. An error that it throws is a defect and is not caught. */
  receive(message: Message): void;
  /** Called when a stream has ended. Another attempt follows. */
  down(): void;
  /** Called when a replica has refused the stream. Another attempt follows after a long wait. */
  refused?(error: ServiceError): void;
  /** A stream without a message for this long counts as dead, ms. Default: only the keepalive of the connection counts. */
  silentMs?: number;
  /** Returns the wait before attempt n in a row, ms. The first attempt is 1. */
  retryDelayMs: (attempt: number) => number;
}

/**
 * A server stream that opens again whenever it ends, until `close`. The next attempt follows after a back-off, or
 * earlier if the connection to a replica is restored.
 */
export class LastingStream<Message> {
  readonly #grpc: GrpcClient;
  readonly #parts: LastingStreamParts<Message>;
  readonly #logger: Logger;
  #attempt = 0;
  #retry: NodeJS.Timeout | undefined;
  #endStream: ((error?: Error) => void) | undefined;
  /** The error that the caller passed to `fail`. */
  #failure: Error | undefined;
  /** True if `succeeded` was called for the current stream. */
  #wasWell = false;
  #isClosed = false;

  constructor(grpc: GrpcClient, parts: LastingStreamParts<Message>, logger: Logger) {
    this.#grpc = grpc;
    this.#parts = parts;
    this.#logger = logger;
  }

  /** Opens a stream now, also if the next attempt was planned for later. */
  open(): void {
    if (this.#isClosed || this.#endStream) return;
    clearTimeout(this.#retry);
    this.#retry = undefined;
    const { silentMs } = this.#parts;
    const stream = this.#parts.open();
    const end = (error?: Error) => {
      if (this.#endStream !== end) return;
      this.#endStream = undefined;
      clearTimeout(silence);
      stream.cancel();
      if (this.#isClosed) return;
      this.#parts.down();
      this.#retryLater(error);
    };
    this.#endStream = end;
    const onSilence = () => end(new Error(`no message came for ${silentMs} ms`));
    const silence = silentMs === undefined ? undefined : setTimeout(onSilence, silentMs);
    stream.on("error", end);
    stream.on("end", () => end());
    stream.on("data", (message: Message) => {
      if (this.#endStream !== end) return;
      silence?.refresh();
      this.#parts.receive(message);
    });
  }

  /** Records that the stream works: the next wait starts from the shortest again. */
  succeeded(): void {
    this.#attempt = 0;
    this.#wasWell = true;
  }

  /** Ends the open stream because of an error that the caller has logged. Another attempt follows. */
  fail(error: Error): void {
    this.#failure = error;
    this.#endStream?.(error);
  }

  /** Ends the stream. No further attempt follows. Idempotent. */
  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#retry);
    this.#endStream?.();
  }

  #retryLater(error: Error | undefined): void {
    this.#attempt += 1;
    const { code, metadata } = (error ?? {}) as Partial<ServiceError>;
    // The stream worked before, so its token has expired. The next attempt has a new token.
    const isExpired = this.#wasWell && code === status.UNAUTHENTICATED;
    this.#wasWell = false;
    const isRefused = code !== undefined && refusals.has(code) && !isExpired;
    const backoffMs = this.#parts.retryDelayMs(isRefused ? REFUSED_ATTEMPT : this.#attempt);
    const isFirst = isExpired || (this.#attempt === 1 && code === status.UNAVAILABLE);
    const delayMs = isFirst ? Math.min(backoffMs, this.#firstDelayMs(metadata)) : backoffMs;
    const fields = { err: error, attempt: this.#attempt, delayMs };
    if (isRefused) {
      this.#logger.error(fields, "watch refused");
      this.#parts.refused?.(error as ServiceError);
    } else if (error === undefined || error !== this.#failure) this.#logger.warn(fields, "watch ended");
    this.#retry = setTimeout(() => this.open(), delayMs);
    if (!isRefused) this.#wakeOnConnection(this.#retry, delayMs);
  }

  // The wait after a stream that worked: the delay that the replica asked for, or a short random time if another replica
  // can be reached, so that not all routers arrive there at once.
  #firstDelayMs(metadata: Metadata | undefined): number {
    const [pushback] = metadata?.get(PUSHBACK_KEY) ?? [];
    const pushbackMs = /^\d+$/.test(`${pushback}`) ? Number(pushback) : Infinity;
    if (pushbackMs <= MAX_PUSHBACK_MS) return pushbackMs;
    const isReachable = this.#grpc.raw.getChannel().getConnectivityState(false) === connectivityState.READY;
    return isReachable ? Math.random() * WAKE_SPREAD_MS : Infinity;
  }

  // Tries again as soon as the connection to a replica stands, before the wait is over.
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
      // A replica that has just started may still refuse this attempt. The next wait must be short then.
      this.#attempt = Math.min(this.#attempt, 1);
      this.#retry = setTimeout(() => this.open(), Math.random() * WAKE_SPREAD_MS);
    });
  }
}
