import { type ClientReadableStream, connectivityState, type Metadata, type ServiceError, status } from "@grpc/grpc-js";
import type { GrpcClient } from "../../lib/grpcService.js";
import type { Logger } from "../../lib/logger.js";

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

/** What a {@link LastingStream} is made of. None of the functions may throw, `receive` excepted. */
export interface LastingStreamParts<Message> {
  /** Opens the next stream. */
  open(): ClientReadableStream<Message>;
  /** An error that is thrown here is a defect, and not caught. */
  receive(message: Message): void;
  /** The stream is gone; another attempt follows. */
  down(): void;
  /** A replica has refused the stream: the same request fails until its sender or the replica's settings change. */
  refused?(error: ServiceError): void;
  /** A stream that brings nothing for this long is taken for dead. Default: the connection's keepalive alone tells. */
  silentMs?: number;
  /** The wait before the nth attempt in a row, from 1. */
  retryDelayMs: (attempt: number) => number;
}

/**
 * A server stream that is opened again whenever it ends, until it is closed: after a back-off, or as soon as a replica
 * can be reached again.
 */
export class LastingStream<Message> {
  readonly #grpc: GrpcClient;
  readonly #parts: LastingStreamParts<Message>;
  readonly #logger: Logger;
  #attempt = 0;
  #retry: NodeJS.Timeout | undefined;
  #endStream: ((error?: Error) => void) | undefined;
  /** What the caller has given a stream up for. */
  #failure: Error | undefined;
  /** Whether all has been well since the stream was opened. */
  #wasWell = false;
  #isClosed = false;

  constructor(grpc: GrpcClient, parts: LastingStreamParts<Message>, logger: Logger) {
    this.#grpc = grpc;
    this.#parts = parts;
    this.#logger = logger;
  }

  /** Opens a stream now; one that waits to be tried again waits no longer. */
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

  /** All is well: the next wait is the shortest again. */
  succeeded(): void {
    this.#attempt = 0;
    this.#wasWell = true;
  }

  /** Gives the stream up that is open, for a reason that the caller has logged; another attempt follows. */
  fail(error: Error): void {
    this.#failure = error;
    this.#endStream?.(error);
  }

  /** Ends the stream and all attempts. Idempotent. */
  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#retry);
    this.#endStream?.();
  }

  #retryLater(error: Error | undefined): void {
    this.#attempt += 1;
    const { code, metadata } = (error ?? {}) as Partial<ServiceError>;
    // The token of a stream that was healthy has expired: the next one brings a new token.
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
