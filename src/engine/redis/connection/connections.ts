import { setTimeout as sleep } from "node:timers/promises";
import { Redis } from "ioredis";
import { refusal, SquelchError } from "../../../domain/errors.js";
import { backoffMs } from "../../../lib/backoff.js";
import type { Logger } from "../../../lib/logger.js";
import { parseRedisUrl, type RedisTarget } from "../../../lib/redisUrl.js";
import {
  type ErrorReply,
  errorReplyOf,
  forgetRejection,
  noteRejection,
  noteReplica,
  rejectionOf,
} from "./errorReplies.js";
import { KeepAlive } from "./keepAlive.js";
import { type CommandConnection, type ConnectionPlan, openCommands, openSubscriptions } from "./openConnection.js";
import { RetryDelay } from "./retryDelay.js";
import { IS_REPLICA, UnfitServer } from "./unfitServer.js";

/** The shortest time between two warnings about a connection that keeps failing, ms. */
const WARNING_INTERVAL_MS = 10_000;
/** The longest time that a start waits for the first attempts, ms. */
const START_TIMEOUT_MS = 5_000;
/** The shortest time between two reconnects of all connections, ms. */
const LEAVE_INTERVAL_MS = 500;
/** A server that has rejected no write for this long counts as a primary, if an ACL hides its role, ms. */
const READ_ONLY_MEMORY_MS = 5_000;
/** The shortest time between two reconnects because connections lead to different servers, ms. */
const GATHER_INTERVAL_MS = 5_000;

/**
 * The connections of one process to one Redis. Each one retries without limit: after 1, 2, 4, 8, 16 and 30 s, or every
 * second if Sentinel or a Cluster can promote a new primary. When one connects, the others retry at once. If Redis
 * closes a connection without an error, it is reopened at once.
 *
 * If the server turns out to be a Redis replica, all connections close. They retry every 500 ms until the name leads to
 * a primary.
 */
export class Connections {
  readonly topology: RedisTarget["topology"];
  /**
   * Runs every command that no other connection below is for. While it is down, a command fails at once instead of
   * waiting in a queue.
   */
  readonly commands: CommandConnection;
  /** Runs revocations, each followed by WAIT; see `ConfirmedWrites`. */
  readonly confirmed: CommandConnection;
  /** Runs pauses, so that they do not wait behind other commands. */
  readonly urgent: CommandConnection;
  /** Serves only subscriptions; see `Subscriber`. */
  readonly subscriptions: Redis;

  readonly #prefix: string;
  readonly #logger: Logger;
  readonly #keepAlive: KeepAlive;
  readonly #retryDelays = new Map<CommandConnection, RetryDelay>();
  // Run id of the server that each ready connection leads to.
  readonly #runIds = new Map<string, string | undefined>();
  #isClosed = false;
  #hasReportedHidden = false;
  #unfit: UnfitServer | undefined;
  #readOnlyMs = Number.NEGATIVE_INFINITY;
  #leftMs = Number.NEGATIVE_INFINITY;
  #gatheredMs = Number.NEGATIVE_INFINITY;

  /**
   * @param url of the format that {@link parseRedisUrl} accepts
   * @param prefix of the connection names, for a process that connects to more than one Redis
   * @throws SquelchError `invalidArgument` for any other URL
   */
  constructor(url: string, logger: Logger, prefix = "") {
    const target = toTarget(url);
    this.#prefix = prefix;
    this.#logger = logger;
    this.topology = target.topology;
    const watched = <T extends CommandConnection>(kind: string, open: (plan: ConnectionPlan) => T): T => {
      const purpose = `${prefix}${kind}`;
      const retryDelay = new RetryDelay(target.topology === "standalone");
      const connection = open({
        name: `squelch-${purpose}`,
        retryDelay,
        isIngest: prefix !== "",
        onExamined: (info) => {
          this.#runIds.set(kind, info.run_id);
          if (info.redis_mode === undefined) this.#noteHidden();
          if (this.#unfit?.kind === "misconfigured" || info.role === "master") this.#noteFit();
        },
        onReadOnly: () => this.#noteRole(false),
      });
      this.#retryDelays.set(connection, retryDelay);
      let quietUntilMs = 0;
      const report = (error: Error) => {
        if (error instanceof UnfitServer) {
          if (error.kind === "replica") noteReplica(connection);
          return this.#noteUnfit(error);
        }
        noteRejection(connection, error);
        const isRepeat = performance.now() < quietUntilMs;
        if (!isRepeat) quietUntilMs = performance.now() + WARNING_INTERVAL_MS;
        logger[isRepeat ? "debug" : "warn"]({ purpose, error: error.message }, "redis connection failed");
      };
      // One connection may lead to several sentinels or Cluster nodes.
      for (const event of ["error", "sentinelError", "node error"]) connection.on(event, report);
      connection.on("error", (error: Error) => retryDelay.noteError(error));
      connection.on("ready", () => {
        quietUntilMs = 0;
        forgetRejection(connection);
        retryDelay.noteReady();
        // If an ACL denies INFO, ROLE is sent before a subscription begins.
        const isRoleUnknown = connection instanceof Redis && this.#runIds.has(kind) && !this.#runIds.get(kind);
        if (isRoleUnknown) void this.#keepAlive.send(connection);
        this.#gather(kind);
        this.#wake();
      });
      connection.on("close", () => this.#runIds.delete(kind));
      // ioredis gives up a connection for good if a fail-over notification arrives while it asks a sentinel for the
      // master.
      connection.on("end", () => {
        if (!this.#isClosed) setTimeout(() => this.#revive(connection), backoffMs(1)).unref();
      });
      return connection;
    };
    this.commands = watched("commands", (plan) => openCommands(target, plan));
    this.confirmed = watched("confirmed", (plan) => openCommands(target, plan));
    this.urgent = watched("urgent", (plan) => openCommands(target, plan));
    this.subscriptions = watched("subscriptions", (plan) => openSubscriptions(target, plan, this.commands));
    const { commands, confirmed, urgent } = this;
    this.#keepAlive = new KeepAlive([commands, confirmed, urgent], (isMaster) => this.#noteRole(isMaster));
  }

  get #byKind(): Readonly<Record<string, CommandConnection>> {
    const { commands, confirmed, urgent, subscriptions } = this;
    return { commands, confirmed, urgent, subscriptions };
  }

  get #all(): CommandConnection[] {
    return Object.values(this.#byKind);
  }

  /** Returns whether each connection is ready, by its purpose. */
  states(): ReadonlyMap<string, boolean> {
    const kinds = Object.entries(this.#byKind);
    return new Map(kinds.map(([kind, { status }]) => [`${this.#prefix}${kind}`, status === "ready"]));
  }

  /**
   * Explains why the connected server cannot serve, as a sentence with the remedy. Undefined while the server can
   * serve.
   */
  get unfitReason(): string | undefined {
    if (this.#unfit === undefined) return undefined;
    return this.#unfit.kind === "replica" ? `Redis: ${this.#unfit.message}` : this.#misconfiguration.message;
  }

  /**
   * Resolves when each connection has made its first attempt, successful or not, after 5 s at the latest. Rejects with
   * `invalidArgument` if the server was reached but does not fit the URL; the attempts continue then.
   */
  async start(): Promise<void> {
    this.#keepAlive.start();
    await this.#connect(this.#all);
  }

  /**
   * Starts only the subscriptions, for a process that uses nothing else. Resolves and rejects as {@link
   * Connections.start} does.
   */
  async startSubscriptions(): Promise<void> {
    await this.#connect([this.subscriptions]);
  }

  close(): void {
    this.#isClosed = true;
    this.#keepAlive.stop();
    for (const connection of this.#all) connection.disconnect();
  }

  async #connect(connections: readonly CommandConnection[]): Promise<void> {
    const attempts = Promise.allSettled(connections.map((connection) => connection.connect()));
    const patience = new AbortController();
    const timeout = sleep(START_TIMEOUT_MS, undefined, { signal: patience.signal }).catch(() => undefined);
    await Promise.race([attempts, timeout]);
    patience.abort();
    if (this.#unfit?.kind === "misconfigured") throw this.#misconfiguration;
  }

  get #misconfiguration(): SquelchError {
    const option = this.#prefix === "" ? "redisUrl" : "ingestRedisUrl";
    return new SquelchError("invalidArgument", `${option}: ${this.#unfit?.message}`);
  }

  #noteUnfit(unfit: UnfitServer): void {
    const isRepeat = this.#unfit?.message === unfit.message;
    this.#unfit = unfit;
    if (isRepeat) return;
    if (unfit.kind === "replica") {
      this.#logger.warn("redis server is a replica, reconnecting until the name leads to a primary");
    } else {
      this.#logger.error({ reason: this.unfitReason }, "redis server does not fit its URL, reconnecting");
    }
  }

  // Handles the role of the connected server; undefined if an ACL hides it.
  #noteRole(isMaster: boolean | undefined): void {
    const isDue = (sinceMs: number, intervalMs: number) => performance.now() - sinceMs >= intervalMs;
    if (isMaster || (isMaster === undefined && isDue(this.#readOnlyMs, READ_ONLY_MEMORY_MS))) this.#noteFit();
    if (isMaster !== false) return;
    this.#readOnlyMs = performance.now();
    this.#noteUnfit(new UnfitServer("replica", IS_REPLICA));
    if (!isDue(this.#leftMs, LEAVE_INTERVAL_MS)) return;
    this.#leftMs = performance.now();
    for (const connection of this.#leave(this.#all)) noteReplica(connection);
  }

  #noteHidden(): void {
    if (this.#hasReportedHidden) return;
    this.#hasReportedHidden = true;
    this.#logger.warn("redis denies INFO to its user, grant it with ACL SETUSER because Squelch's scripts need it");
  }

  #noteFit(): void {
    if (this.#unfit !== undefined) this.#logger.info("redis server accepts writes again");
    this.#unfit = undefined;
  }

  // Subscriptions to a demoted server keep working. Only the other connections show that the server was replaced.
  #gather(kind: string): void {
    const runId = this.#runIds.get(kind);
    if (runId === undefined || performance.now() - this.#gatheredMs < GATHER_INTERVAL_MS) return;
    const astray = Object.entries(this.#byKind).filter(([other]) => (this.#runIds.get(other) ?? runId) !== runId);
    if (astray.length === 0) return;
    this.#gatheredMs = performance.now();
    const purposes = astray.map(([other]) => `${this.#prefix}${other}`);
    this.#logger.warn({ purposes }, "redis connections lead to different servers, reconnecting");
    this.#leave(astray.map(([, connection]) => connection));
  }

  // Reconnects those that are ready, and returns them.
  #leave(connections: readonly CommandConnection[]): CommandConnection[] {
    const left = connections.filter(({ status }) => status === "ready");
    for (const connection of left) {
      this.#retryDelays.get(connection)?.noteLeave();
      connection.disconnect(true);
    }
    return left;
  }

  // The listeners of the connection receive the result of the attempt.
  #revive(connection: CommandConnection): void {
    if (!this.#isClosed && connection.status === "end") connection.connect().catch(() => undefined);
  }

  // A waiting connection need not wait longer once another one has connected. Its listeners receive the result of
  // its attempt.
  #wake(): void {
    for (const connection of this.#all) {
      if (connection.status === "reconnecting") connection.connect().catch(() => undefined);
    }
  }
}

function toTarget(url: string): RedisTarget {
  try {
    return parseRedisUrl(url);
  } catch (error) {
    throw new SquelchError("invalidArgument", `redisUrl: must be ${(error as Error).message}`, { cause: error });
  }
}

/**
 * Translates the failure of a command into the error for its caller: `unavailable` with the cause and the remedy. A
 * failure caused by a defect of Squelch is returned unchanged.
 *
 * @param connection that sent the command, if known: Redis may be rejecting the connection itself
 */
export function toStoreError(error: unknown, connection?: CommandConnection): unknown {
  if (error instanceof SquelchError) return error;
  const isLost = connection !== undefined && errorReplyOf(error) === undefined && !isTimeout(error);
  const cause = (isLost && rejectionOf(connection)) || error;
  const reply = errorReplyOf(cause);
  if (reply?.kind === "defect") return cause;
  if (reply !== undefined) {
    const outcome = reply.hasWrittenNothing ? "notDone" : "unknown";
    return refusal("STORE_REFUSES", describeRefusal(reply), { code: reply.code, outcome }, { cause });
  }
  const outcome = isUnsent(error) ? "notDone" : "unknown";
  return refusal("STORE_UNAVAILABLE", describeLoss(error), { outcome }, { cause });
}

function describeLoss(error: unknown): string {
  const outcome = isTimeout(error) ? "did not answer in time; the outcome is unknown" : "cannot be reached";
  return `Redis ${outcome}; try again`;
}

// True if ioredis has refused the command before it sent it. A command that was sent may have been carried out, also if its
// connection broke before the answer.
function isUnsent(error: unknown): boolean {
  return error instanceof Error && /^(Stream isn't writeable|Cluster isn't ready)/.test(error.message);
}

function isTimeout(error: unknown): boolean {
  return /timed out/i.test(error instanceof Error ? error.message : String(error));
}

function describeRefusal({ explanation, hasWrittenNothing }: ErrorReply): string {
  return `${explanation}; ${hasWrittenNothing ? "the command has written nothing" : "the outcome is unknown"}`;
}

/** Resolves to the answer of a command. Rejects with the error that {@link toStoreError} makes. */
export async function attempt<T>(command: Promise<T>): Promise<T> {
  try {
    return await command;
  } catch (error) {
    throw toStoreError(error);
  }
}
