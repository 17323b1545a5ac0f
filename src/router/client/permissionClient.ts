import { EventEmitter } from "node:events";
import { type ChannelCredentials, credentials, type ServiceError } from "@grpc/grpc-js";
import { FleetService } from "../../../gen/squelch/v1/fleet_service_pb.js";
import { PermissionService } from "../../../gen/squelch/v1/permission_service_pb.js";
import type { UserBan } from "../../domain/ban.js";
import type { Cursor } from "../../domain/cursor.js";
import { SquelchError } from "../../domain/errors.js";
import type { SpeakerPause } from "../../domain/floor.js";
import { parseId } from "../../domain/id.js";
import {
  checkOptions,
  DURATION_MS,
  DURATION_MS_OR_0,
  FUNCTION,
  LOGGER,
  OBJECT,
  type OptionRules,
  required,
  TEXT,
  TEXT_OR_FUNCTION,
  TEXTS,
} from "../../domain/options.js";
import { backoffMs } from "../../lib/backoff.js";
import { createTokenInterceptor, type TokenSource } from "../../lib/callToken.js";
import { GrpcClient } from "../../lib/grpcService.js";
import { createLogger, type Logger } from "../../lib/logger.js";
import { AppliedPositions } from "./appliedPositions.js";
import { AppliedReporter, type ReportedAction } from "./appliedReporter.js";
import { banOf, refusalOf } from "./convert.js";
import { FreshWaiters } from "./freshWaiters.js";
import { parseGrpcTarget } from "./grpcTarget.js";
import { Heartbeat } from "./heartbeat.js";
import { changeNotices, type Notice, type PermissionEvents } from "./permissionEvents.js";
import { PermissionMirror } from "./permissionMirror.js";
import { PermissionWatch } from "./permissionWatch.js";

const HEALTHY_INTERVALS = 2;
const HEARTBEAT_DEADLINE_MS = 2_500;
const REPORT_DEADLINE_MS = 2_000;
const FAREWELL_DEADLINE_MS = 1_000;

/** The changes that an administrator may wait for with AwaitApplied, and how urgent their report is. */
const AWAITED: Partial<Record<keyof PermissionEvents, ReportedAction>> = {
  paused: "emergency",
  disconnect: "emergency",
  revoked: "revocation",
  floorRevoked: "revocation",
};

/** The options of a {@link PermissionClient}. */
export interface PermissionClientOptions {
  /** The addresses of all replicas: IP addresses as `host:port,host:port,…`, or one host name with its port. */
  address: string;
  /** The id of this router in logs and reports. Every running router needs a different id. */
  routerId: string;
  /** The events to watch. Default, also if empty: all events that the router may see, including events created later. */
  eventIds?: readonly string[];
  /** The longest time between two checkpoints: 1,000 to 60,000 ms. Default: 5,000. */
  checkpointIntervalMs?: number;
  /** How often the connected users are read from the store while the stream is not healthy, ms. Default: 30,000. */
  heartbeatIntervalMs?: number;
  /**
   * If the client is stale for this long, ms, users have no channels until it is fresh again. Default: stale permissions
   * stay valid without limit.
   */
  failClosedAfterMs?: number;
  /** The grpc-js credentials of the connection. Default: no TLS. */
  credentials?: ChannelCredentials;
  /** The token of this router. A function is called before each call, so that it can return a new token. Default: none. */
  token?: TokenSource;
  /** Returns the wait in ms before attempt n in a row to open the stream. Default: 1, 2, 4, 8, 16, 30 s with jitter. */
  retryDelayMs?: (attempt: number) => number;
  /** Default: a logger that writes warnings and errors to stdout. */
  logger?: Logger;
}

/** The rules for the values of the options. */
export const PERMISSION_CLIENT_RULES: OptionRules<PermissionClientOptions> = {
  address: required({ ...TEXT, expected: "host:port, or host:port,host:port of all replicas" }),
  routerId: required({ ...TEXT, expected: "a string that names this router" }),
  eventIds: TEXTS,
  checkpointIntervalMs: DURATION_MS,
  heartbeatIntervalMs: DURATION_MS,
  failClosedAfterMs: DURATION_MS_OR_0,
  credentials: OBJECT,
  token: TEXT_OR_FUNCTION,
  retryDelayMs: FUNCTION,
  logger: LOGGER,
};

/** The channels of one user, read from the store. */
export interface UserPermissions {
  channelIds: string[];
  /** False if the user was never written in the event. */
  known: boolean;
  /** The ban of the user in the event. If it is set, refuse the connection of the user. */
  ban?: UserBan | undefined;
}

/**
 * Keeps the permissions of all users of a router in memory, up to date through one stream.
 *
 * It reconnects by itself and resumes from its last position. While it is not connected, it keeps the known permissions,
 * emits `stale`, and reads the connected users from the store one by one. A difference that a snapshot or such a read shows
 * is emitted as the same event as a change on the stream, so a router needs no other source. Revisions are numbers below
 * 2^53.
 *
 * When the listeners of a change have returned, the client reports to the replica that the change is applied here. A
 * listener that needs more time calls `deferApplied`.
 *
 * @example
 * const client = new PermissionClient({ address: "10.0.0.1:50051,10.0.0.2:50051", routerId: "router-1" });
 * client.on("change", ({ eventId, userId, channelIds }) => console.log(eventId, userId, channelIds));
 * client.start();
 * await client.whenFresh();
 */
export class PermissionClient extends EventEmitter<PermissionEvents> {
  /** The connection to all replicas, for further calls of the router. `close` closes it. */
  readonly rpc: GrpcClient;
  readonly #mirror = new PermissionMirror();
  readonly #tracked = new Map<string, Set<string>>();
  readonly #watch: PermissionWatch;
  readonly #applied = new AppliedPositions();
  readonly #reporter: AppliedReporter;
  readonly #heartbeat: Heartbeat;
  readonly #logger: Logger;
  readonly #healthyForMs: number;
  readonly #failClosedAfterMs: number | undefined;
  readonly #freshWaiters = new FreshWaiters();
  /** Why a replica refused the last attempt to watch; undefined while no attempt was refused. */
  #refusal: SquelchError | undefined;
  #isStarted = false;
  #closed: Promise<void> | undefined;
  #isFresh = false;
  #isFailedClosed = false;
  #staleTimer: NodeJS.Timeout | undefined;
  #failClosedTimer: NodeJS.Timeout | undefined;

  /** @throws SquelchError `invalidArgument` that names the option, if one is missing, unknown or not valid */
  constructor(options: PermissionClientOptions) {
    super();
    checkOptions("PermissionClient", options, PERMISSION_CLIENT_RULES);
    const { address, routerId, eventIds = [], checkpointIntervalMs = 5_000, heartbeatIntervalMs = 30_000 } = options;
    for (const [index, eventId] of eventIds.entries()) parseId(`eventIds[${index}]`, eventId);
    this.#logger = options.logger ?? createLogger("squelch-router", "warn");
    this.#healthyForMs = HEALTHY_INTERVALS * checkpointIntervalMs;
    this.#failClosedAfterMs = options.failClosedAfterMs;
    this.rpc = new GrpcClient(parseGrpcTarget(address), options.credentials ?? credentials.createInsecure(), {
      "grpc.service_config": JSON.stringify({ loadBalancingConfig: [{ round_robin: {} }] }),
      "grpc.max_receive_message_length": 16 * 1024 * 1024,
      "grpc.keepalive_time_ms": 10_000,
      "grpc.keepalive_timeout_ms": 5_000,
      // A connection must be restored before the stream tries it. In a rolling restart, the connection to a restarted
      // replica must be open before the next replica stops.
      "grpc.initial_reconnect_backoff_ms": 250,
      "grpc.max_reconnect_backoff_ms": 1_000,
      "grpc.use_local_subchannel_pool": 1,
      ...(options.token !== undefined && { interceptors: [createTokenInterceptor(options.token)] }),
    });
    this.#watch = new PermissionWatch(
      this.rpc,
      this.#mirror,
      { eventIds, routerId, checkpointIntervalMs, retryDelayMs: options.retryDelayMs ?? backoffMs },
      {
        notice: (notice) => {
          this.#notify(notice);
          this.#reporter.acted(AWAITED[notice.name] ?? "other");
        },
        delivered: (eventId) => {
          const cursor = this.#mirror.cursor(eventId);
          if (cursor) this.#applied.advance(cursor);
          this.#reporter.acted("other");
        },
        caughtUp: (feedHealthy) => this.#caughtUp(feedHealthy),
        down: () => this.#becomeStale(),
        refused: (error) => this.#refuse(error),
      },
      this.#logger,
    );
    this.#reporter = new AppliedReporter(
      () => this.#applied.cursors(),
      (cursors, leaving) => this.#report(routerId, cursors, leaving),
      this.#logger,
    );
    const ask = (eventId: string, userId: string) => this.refreshUser(eventId, userId);
    this.#heartbeat = new Heartbeat(this.#tracked, ask, heartbeatIntervalMs, this.#logger);
  }

  /** True while the client knows every change of the store, except changes that are still on their way. */
  get isFresh(): boolean {
    return this.#isFresh;
  }

  /** Connects, and stays connected until `close`. Idempotent. */
  start(): void {
    if (this.#isStarted || this.#isClosed) return;
    this.#isStarted = true;
    this.#beginStaleness();
    this.#watch.open();
    this.#reporter.start();
  }

  /**
   * Waits until the permissions are known and up to date (`isFresh`). They may become stale again later:
   * listen to `stale` and `fresh` for that.
   *
   * @param signal ends the wait early; the promise then rejects with its reason
   * @throws SquelchError `unauthenticated`, `permissionDenied`, `invalidArgument` or `unimplemented` if the replica
   * refuses the watch, with the replica's message; the client still tries again every 30 s
   * @throws SquelchError `failedPrecondition` if the client is closed, or was not started
   */
  async whenFresh(signal?: AbortSignal): Promise<void> {
    if (this.#isFresh) return;
    if (this.#isClosed) throw closedError();
    if (!this.#isStarted) throw new SquelchError("failedPrecondition", "the client is not started: call start() first");
    if (this.#refusal !== undefined) throw this.#refusal;
    await this.#freshWaiters.wait(signal);
  }

  /**
   * Ends the stream at once and closes the connection. No event is emitted afterwards. It also reports that this router has
   * left its events, so close the sockets of clients first. Resolves within 3 s. Idempotent.
   */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  /** Returns the channels of a user, ascending; undefined if the user is unknown. They may be stale. */
  permissionsOf(eventId: string, userId: string): string[] | undefined {
    return this.#isFailedClosed ? [] : this.#mirror.channelIds(eventId, userId);
  }

  /** Returns the current pause of an event; undefined if the event is not paused. */
  pauseOf(eventId: string): SpeakerPause | undefined {
    return this.#mirror.pause(eventId);
  }

  /**
   * Returns when a user was last disconnected by force, ms since 1970 by the clock of the store; 0 if never. Returns undefined
   * if the store has not reported it yet.
   */
  disconnectedAtMsOf(eventId: string, userId: string): number | undefined {
    return this.#mirror.disconnectedAtMs(eventId, userId);
  }

  /** Records that a user is connected. The client reads connected users while the stream is not healthy. Idempotent. */
  trackUser(eventId: string, userId: string): void {
    const users = this.#tracked.get(eventId) ?? new Set();
    this.#tracked.set(eventId, users.add(userId));
  }

  /** Records that a user is no longer connected. Idempotent. */
  untrackUser(eventId: string, userId: string): void {
    const users = this.#tracked.get(eventId);
    users?.delete(userId);
    if (users?.size === 0) this.#tracked.delete(eventId);
  }

  /**
   * Delays the report of a change whose listener cannot finish before it returns. This change and all later changes of the
   * event are not reported as applied until the returned function is called. Idempotent.
   */
  deferApplied(eventId: string): () => void {
    const done = this.#applied.defer(eventId);
    return () => {
      done();
      this.#reporter.acted("revocation");
    };
  }

  /**
   * Reads one user from the store and updates the known permissions, unless they are newer than the answer.
   *
   * @returns the channels, and the ban, that the store answered with
   * @throws grpc-js ServiceError
   */
  async refreshUser(eventId: string, userId: string): Promise<UserPermissions> {
    const askedIn = this.#mirror.cursor(eventId)?.epoch;
    const answer = await this.rpc.unary(
      PermissionService.method.getUserPermissions,
      { eventId, userId },
      { deadline: Date.now() + HEARTBEAT_DEADLINE_MS },
    );
    if (!this.#isClosed) {
      for (const notice of this.#mirror.mergeAnswer(eventId, userId, answer, askedIn)) this.#notify(notice);
    }
    return { channelIds: answer.channelIds, known: answer.known, ban: answer.ban && banOf(answer.ban) };
  }

  get #isClosed(): boolean {
    return this.#closed !== undefined;
  }

  async #close(): Promise<void> {
    this.#isFresh = false;
    this.#freshWaiters.settle(closedError());
    this.#watch.close();
    this.#heartbeat.stop();
    clearTimeout(this.#staleTimer);
    clearTimeout(this.#failClosedTimer);
    await this.#reporter.leave();
    this.rpc.close();
  }

  #report(routerId: string, cursors: readonly Cursor[], leaving: boolean): Promise<unknown> {
    return this.rpc.unary(
      FleetService.method.reportApplied,
      { routerId, leaving, cursors: cursors.map((cursor) => ({ ...cursor, revision: BigInt(cursor.revision) })) },
      { deadline: Date.now() + (leaving ? FAREWELL_DEADLINE_MS : REPORT_DEADLINE_MS) },
    );
  }

  #caughtUp(feedHealthy: boolean): void {
    this.#refusal = undefined;
    if (!feedHealthy) return;
    clearTimeout(this.#staleTimer);
    this.#staleTimer = setTimeout(() => this.#becomeStale(), this.#healthyForMs);
    if (this.#isFresh) return;
    this.#isFresh = true;
    this.#heartbeat.stop();
    clearTimeout(this.#failClosedTimer);
    const wasFailedClosed = this.#isFailedClosed;
    this.#isFailedClosed = false;
    this.#freshWaiters.settle();
    this.emit("fresh");
    if (wasFailedClosed) this.#restore();
  }

  #refuse(error: ServiceError): void {
    this.#refusal = refusalOf(error);
    this.#freshWaiters.settle(this.#refusal);
  }

  #becomeStale(): void {
    clearTimeout(this.#staleTimer);
    if (!this.#isFresh) return;
    this.#isFresh = false;
    this.#beginStaleness();
    this.emit("stale");
  }

  #beginStaleness(): void {
    this.#heartbeat.start();
    if (this.#failClosedAfterMs === undefined) return;
    this.#failClosedTimer = setTimeout(() => this.#failClosed(), this.#failClosedAfterMs);
  }

  #failClosed(): void {
    this.#logger.error("stale for too long, users have no channels until the client is fresh again");
    this.#isFailedClosed = true;
    for (const { channelIds: removed, ...user } of this.#trackedMemberships()) {
      this.#emit(changeNotices({ ...user, channelIds: [], added: [], removed, action: "fail-closed" }));
    }
  }

  #restore(): void {
    for (const user of this.#trackedMemberships()) {
      this.#emit(changeNotices({ ...user, added: user.channelIds, removed: [], action: "restored" }));
    }
  }

  #trackedMemberships() {
    return [...this.#tracked].flatMap(([eventId, users]) =>
      [...users].flatMap((userId) => {
        const channelIds = this.#mirror.channelIds(eventId, userId) ?? [];
        const revision = this.#mirror.cursor(eventId)?.revision ?? 0;
        return channelIds.length === 0 ? [] : [{ eventId, userId, channelIds, revision }];
      }),
    );
  }

  #notify(notice: Notice): void {
    // While the client has failed closed, users have no channels. `restored` changes follow when it is fresh again.
    if (this.#isFailedClosed && (notice.name === "change" || notice.name === "revoked")) return;
    this.#emit([notice]);
  }

  #emit(notices: readonly Notice[]): void {
    for (const { name, arguments: details } of notices) this.emit<keyof PermissionEvents>(name, ...details);
  }
}

function closedError(): SquelchError {
  return new SquelchError("failedPrecondition", "the client is closed");
}
