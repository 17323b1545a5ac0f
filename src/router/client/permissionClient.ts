import { EventEmitter } from "node:events";
import { type ChannelCredentials, credentials, type ServiceError } from "@grpc/grpc-js";
import { PermissionService } from "../../../gen/squelch/v1/permission_service_pb.js";
import type { UserBan } from "../../domain/ban.js";
import type { Cursor } from "../../domain/cursor.js";
import { SquelchError } from "../../domain/errors.js";
import type { SpeakerPause } from "../../domain/floor.js";
import { parseId } from "../../domain/id.js";
import {
  checkOptions,
  DURATION_MS,
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

/** What somebody may be waiting for to be in force. */
const AWAITED: Partial<Record<keyof PermissionEvents, ReportedAction>> = {
  paused: "emergency",
  disconnect: "emergency",
  revoked: "revocation",
  floorRevoked: "revocation",
};

/** How a {@link PermissionClient} is set up. */
export interface PermissionClientOptions {
  /** All replicas: `host:port,host:port,…` of IP addresses, or one host name with its port. */
  address: string;
  /** Names this router, in logs and where its reports are waited for: its own among all that run. */
  routerId: string;
  /** The events to watch; all that the router may see if empty, those created later included. Default: all. */
  eventIds?: readonly string[];
  /** The longest silence between checkpoints, 1,000 to 60,000 ms. Default 5,000. */
  checkpointIntervalMs?: number;
  /** How often connected users are asked for while the stream isn't healthy. Default 30,000. */
  heartbeatIntervalMs?: number;
  /**
   * After being stale for this long, users have no channels until the client is fresh again. Default: stale data is
   * kept for ever.
   */
  failClosedAfterMs?: number;
  /** Default: without TLS. */
  credentials?: ChannelCredentials;
  /** Says who this router is; a function is asked at each call, so that the token can be renewed. Default: none. */
  token?: TokenSource;
  /** The wait before the nth attempt in a row to open the stream, from 1. Default: 1, 2, 4, 8, 16, 30 s with jitter. */
  retryDelayMs?: (attempt: number) => number;
  /** Default: warnings and errors, to stdout. */
  logger?: Logger;
}

/** What the value of each option must be. */
export const PERMISSION_CLIENT_RULES: OptionRules<PermissionClientOptions> = {
  address: required({ ...TEXT, expected: "host:port, or host:port,host:port of all replicas" }),
  routerId: required({ ...TEXT, expected: "a string that names this router" }),
  eventIds: TEXTS,
  checkpointIntervalMs: DURATION_MS,
  heartbeatIntervalMs: DURATION_MS,
  failClosedAfterMs: DURATION_MS,
  credentials: OBJECT,
  token: TEXT_OR_FUNCTION,
  retryDelayMs: FUNCTION,
  logger: LOGGER,
};

/** One user's channels as the store has them. */
export interface UserPermissions {
  channelIds: string[];
  /** False if nothing was ever written for the user in the event. */
  known: boolean;
  /** The user's ban, if one holds in the event: do not connect the user. */
  ban?: UserBan | undefined;
}

/**
 * What a router knows of the permissions, kept up to date through one stream, however many users it has.
 *
 * It reconnects by itself and resumes where it was. While it cannot, it keeps what it knows, says that this is stale,
 * and asks for connected users one by one. Differences that a snapshot or such a question brings to light are told by
 * the same events as changes that arrive as they are made, so that nothing else needs to be looked at. Revisions are
 * numbers: they stay below 2^53.
 *
 * When its listeners have returned it reports that the change is in force here; see `deferApplied` for what takes longer.
 *
 * @example
 * const client = new PermissionClient({ address: "10.0.0.1:50051,10.0.0.2:50051", routerId: "router-1" });
 * client.on("change", ({ eventId, userId, channelIds }) => console.log(eventId, userId, channelIds));
 * client.start();
 * await client.whenFresh();
 */
export class PermissionClient extends EventEmitter<PermissionEvents> {
  /** The connection to all replicas, for calls of one's own. Closed with the client. */
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
      // A connection must be back before the stream tries it, and one to a restarted replica before the next one goes.
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
          this.#tell(notice);
          this.#reporter.acted(AWAITED[notice.name] ?? "other");
        },
        told: (eventId) => {
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

  /** True while everything that the store has accepted is known here, but for what is under way. */
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
   * refuses the watch, with the replica's message; the client goes on trying all the same, every 30 s
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
   * Ends the stream at once, so that no event follows; says that this router is waited for no longer, and lets go of the
   * connection. Close it after the clients' connections. Resolves after 3 s at the latest. Idempotent.
   */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  /** The channels of a user, ascending; undefined if nothing is known of the user. They may be stale. */
  permissionsOf(eventId: string, userId: string): string[] | undefined {
    return this.#isFailedClosed ? [] : this.#mirror.channelIds(eventId, userId);
  }

  /** The pause that stands in an event. */
  pauseOf(eventId: string): SpeakerPause | undefined {
    return this.#mirror.pause(eventId);
  }

  /** Says that the user is connected: such users are asked for while the stream isn't healthy. Idempotent. */
  trackUser(eventId: string, userId: string): void {
    const users = this.#tracked.get(eventId) ?? new Set();
    this.#tracked.set(eventId, users.add(userId));
  }

  /** The user is no longer connected. Idempotent. */
  untrackUser(eventId: string, userId: string): void {
    const users = this.#tracked.get(eventId);
    users?.delete(userId);
    if (users?.size === 0) this.#tracked.delete(eventId);
  }

  /**
   * For a listener that cannot finish before it returns: what it was told, and all that comes later in the event, is not
   * reported as in force until the returned function is called. Idempotent.
   */
  deferApplied(eventId: string): () => void {
    const done = this.#applied.defer(eventId);
    return () => {
      done();
      this.#reporter.acted("revocation");
    };
  }

  /**
   * Asks the store for one user and takes over the answer, unless something newer is known already.
   *
   * @returns the answer
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
      for (const notice of this.#mirror.mergeAnswer(eventId, userId, answer, askedIn)) this.#tell(notice);
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
      PermissionService.method.reportApplied,
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
    this.#logger.error("stale for too long: users have no channels until this ends");
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

  #tell(notice: Notice): void {
    // Users who have no channels for the time being hear of them again when they have.
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
