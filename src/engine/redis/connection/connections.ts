import { setTimeout as sleep } from "node:timers/promises";
import { Redis } from "ioredis";
import { refusal, SquelchError } from "../../../domain/errors.js";
import { backoffMs } from "../../../lib/backoff.js";
import type { Logger } from "../../../lib/logger.js";
import { parseRedisUrl, type RedisTarget } from "../../../lib/redisUrl.js";
import { type ErrorReply, errorReplyOf, forgetRejection, noteRejection, rejectionOf } from "./errorReplies.js";
import { KeepAlive } from "./keepAlive.js";
import { type CommandConnection, type ConnectionPlan, openCommands, openSubscriptions } from "./openConnection.js";
import { RetryDelay } from "./retryDelay.js";
import { IS_REPLICA, UnfitServer } from "./unfitServer.js";

/** How often the log warns of a connection that goes on failing, ms. */
const WARNING_INTERVAL_MS = 10_000;
/** How long a start waits for the first attempts, ms. */
const START_TIMEOUT_MS = 5_000;
/** All connections are given up together this often at most, ms. */
const LEAVE_INTERVAL_MS = 500;
/** Where an ACL hides the role, a server that has refused no write for this long counts as a primary, ms. */
const READ_ONLY_MEMORY_MS = 5_000;
/** How often connections are given up because another one led to another server, ms. */
const GATHER_INTERVAL_MS = 5_000;

/**
 * The connections of one process to one Redis. Each retries for ever: after 1, 2, 4, 8, 16, 30 s, or every second where
 * Sentinel or a Cluster sees to a successor. One that gets through wakes the others. A connection that Redis closed in
 * the orderly way is opened anew at once.
 *
 * A server that turns out to be a replica of Redis is left by all connections at once; they try every 500 ms until the
 * name leads to a primary.
 */
export class Connections {
  readonly topology: RedisTarget["topology"];
  /** For everything but what is below. A command fails at once while it is down: nothing waits in a queue. */
  readonly commands: CommandConnection;
  /** For revocations, which are followed by WAIT; see `ConfirmedWrites`. */
  readonly confirmed: CommandConnection;
  /** For pauses, which wait behind nothing else. */
  readonly urgent: CommandConnection;
  /** For subscriptions alone; see `Subscriber`. */
  readonly subscriptions: Redis;

  readonly #prefix: string;
  readonly #logger: Logger;
  readonly #keepAlive: KeepAlive;
  readonly #retryDelays = new Map<CommandConnection, RetryDelay>();
  // The run id of the server behind each connection that is ready.
  readonly #runIds = new Map<string, string | undefined>();
  #isClosed = false;
  #hasReportedHidden = false;
  #unfit: UnfitServer | undefined;
  #readOnlyMs = Number.NEGATIVE_INFINITY;
  #leftMs = Number.NEGATIVE_INFINITY;
  #gatheredMs = Number.NEGATIVE_INFINITY;

  /**
   * @param url as {@link parseRedisUrl} takes it
   * @param prefix of what the connections are said to be for, where a process has those of more than one Redis
   * @throws SquelchError `invalidArgument` for any other.
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
        if (error instanceof UnfitServer) return this.#noteUnfit(error);
        noteRejection(connection, error);
        const isRepeat = performance.now() < quietUntilMs;
        if (!isRepeat) quietUntilMs = performance.now() + WARNING_INTERVAL_MS;
        logger[isRepeat ? "debug" : "warn"]({ purpose, error: error.message }, "redis connection failed");
      };
      // Behind one connection there may be sentinels, or the nodes of a Cluster.
      for (const event of ["error", "sentinelError", "node error"]) connection.on(event, report);
      connection.on("error", (error: Error) => retryDelay.noteError(error));
      connection.on("ready", () => {
        quietUntilMs = 0;
        forgetRejection(connection);
        retryDelay.noteReady();
        // Where an ACL denies INFO, the role is asked for before a subscription begins.
        const isRoleUnknown = connection instanceof Redis && this.#runIds.has(kind) && !this.#runIds.get(kind);
        if (isRoleUnknown) void this.#keepAlive.send(connection);
        this.#gather(kind);
        this.#wake();
      });
      connection.on("close", () => this.#runIds.delete(kind));
      // ioredis gives a connection up for good if it is told of a fail-over while it asks a sentinel for the master.
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

  /** Whether each connection is ready, by what it is for. */
  states(): ReadonlyMap<string, boolean> {
    const kinds = Object.entries(this.#byKind);
    return new Map(kinds.map(([kind, { status }]) => [`${this.#prefix}${kind}`, status === "ready"]));
  }

  /** Why the server that was reached cannot serve, as a sentence with the remedy; undefined while it can. */
  get unfitReason(): string | undefined {
    if (this.#unfit === undefined) return undefined;
    return this.#unfit.kind === "replica" ? `Redis: ${this.#unfit.message}` : this.#misconfiguration.message;
  }

  /**
   * Resolves when each connection has made its first attempt, whether or not it succeeded, after 5 s at the latest.
   * Rejects with `invalidArgument` where the server was reached and does not go with the URL; attempts go on then.
   */
  async start(): Promise<void> {
    this.#keepAlive.start();
    await this.#connect(this.#all);
  }

  /** Starts the subscriptions alone, where nothing else is used. Resolves and rejects as `start` does. */
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
      this.#logger.warn("redis server is a replica, connecting anew until the name leads to a primary");
    } else {
      this.#logger.error({ reason: this.unfitReason }, "redis server does not go with its URL, connecting anew");
    }
  }

  // The role of the server behind a connection; undefined where an ACL hides it.
  #noteRole(isMaster: boolean | undefined): void {
    const isDue = (sinceMs: number, intervalMs: number) => performance.now() - sinceMs >= intervalMs;
    if (isMaster || (isMaster === undefined && isDue(this.#readOnlyMs, READ_ONLY_MEMORY_MS))) this.#noteFit();
    if (isMaster !== false) return;
    this.#readOnlyMs = performance.now();
    this.#noteUnfit(new UnfitServer("replica", IS_REPLICA));
    if (!isDue(this.#leftMs, LEAVE_INTERVAL_MS)) return;
    this.#leftMs = performance.now();
    this.#leave(this.#all);
  }

  #noteHidden(): void {
    if (this.#hasReportedHidden) return;
    this.#hasReportedHidden = true;
    this.#logger.warn("redis denies INFO to its user, grant it with ACL SETUSER: scripts of the state need it");
  }

  #noteFit(): void {
    if (this.#unfit !== undefined) this.#logger.info("redis server can be written again");
    this.#unfit = undefined;
  }

  // The subscriptions of a server that was demoted go on, so that nothing but the others' way shows that it was left.
  #gather(kind: string): void {
    const runId = this.#runIds.get(kind);
    if (runId === undefined || performance.now() - this.#gatheredMs < GATHER_INTERVAL_MS) return;
    const astray = Object.entries(this.#byKind).filter(([other]) => (this.#runIds.get(other) ?? runId) !== runId);
    if (astray.length === 0) return;
    this.#gatheredMs = performance.now();
    const purposes = astray.map(([other]) => `${this.#prefix}${other}`);
    this.#logger.warn({ purposes }, "redis connections lead to another server than the newest one, connecting anew");
    this.#leave(astray.map(([, connection]) => connection));
  }

  #leave(connections: readonly CommandConnection[]): void {
    for (const connection of connections) {
      if (connection.status !== "ready") continue;
      this.#retryDelays.get(connection)?.noteLeave();
      connection.disconnect(true);
    }
  }

  // What the attempt comes to is heard by the connection's listeners.
  #revive(connection: CommandConnection): void {
    if (!this.#isClosed && connection.status === "end") connection.connect().catch(() => undefined);
  }

  // A connection in its back-off need not wait for the end of it once another has got through. What its own attempt
  // comes to is heard by its listeners.
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
 * failure that is a defect of Squelch is returned unchanged.
 *
 * @param connection on which the command was sent, if known: Redis may be rejecting the connection itself
 */
export function toStoreError(error: unknown, connection?: CommandConnection): unknown {
  if (error instanceof SquelchError) return error;
  const reply = errorReplyOf(error) ?? (connection && !isTimeout(error) ? rejectionOf(connection) : undefined);
  if (reply?.kind === "defect") return error;
  if (reply !== undefined) {
    const outcome = reply.hasWrittenNothing ? "notDone" : "unknown";
    return refusal("STORE_REFUSES", describeRefusal(reply), { code: reply.code, outcome }, { cause: error });
  }
  if (isUnsent(error)) {
    return refusal("STORE_UNAVAILABLE", "Redis cannot be reached; try again", { outcome: "notDone" }, { cause: error });
  }
  const what = isTimeout(error) ? "did not answer in time; the outcome is unknown" : "cannot be reached";
  return refusal("STORE_UNAVAILABLE", `Redis ${what}; try again`, { outcome: "unknown" }, { cause: error });
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

/** Resolves to what a command answers; rejects as `toStoreError` says. */
export async function attempt<T>(command: Promise<T>): Promise<T> {
  try {
    return await command;
  } catch (error) {
    throw toStoreError(error);
  }
}
