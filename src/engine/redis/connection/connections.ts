import type { Redis } from "ioredis";
import { SquelchError } from "../../../domain/errors.js";
import { backoffMs } from "../../../lib/backoff.js";
import type { Logger } from "../../../lib/logger.js";
import { parseRedisUrl, type RedisTarget } from "../../../lib/redisUrl.js";
import { type ErrorReply, errorReplyOf, forgetRejection, noteRejection, rejectionOf } from "./errorReplies.js";
import { type CommandConnection, openCommands, openSubscriptions } from "./openConnection.js";

/** How often the log warns of a connection that goes on failing, ms. */
const WARNING_INTERVAL_MS = 10_000;

/**
 * The connections of one process to one Redis. Each retries for ever: after 1, 2, 4, 8, 16, 30 s, or every second where
 * Sentinel or a Cluster sees to a successor. One that gets through wakes the others.
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
  #isClosed = false;

  /**
   * @param url as {@link parseRedisUrl} takes it
   * @param prefix of what the connections are said to be for, where a process has those of more than one Redis
   * @throws SquelchError `invalidArgument` for any other.
   */
  constructor(url: string, logger: Logger, prefix = "") {
    const target = toTarget(url);
    this.#prefix = prefix;
    this.topology = target.topology;
    const watched = <T extends CommandConnection>(kind: string, open: (name: string) => T): T => {
      const purpose = `${prefix}${kind}`;
      const connection = open(`squelch-${purpose}`);
      let quietUntilMs = 0;
      const tell = (error: Error) => {
        noteRejection(connection, error);
        const isRepeat = performance.now() < quietUntilMs;
        if (!isRepeat) quietUntilMs = performance.now() + WARNING_INTERVAL_MS;
        logger[isRepeat ? "debug" : "warn"]({ purpose, error: error.message }, "redis connection failed");
      };
      // Behind one connection there may be sentinels, or the nodes of a Cluster.
      for (const event of ["error", "sentinelError", "node error"]) connection.on(event, tell);
      connection.on("ready", () => {
        quietUntilMs = 0;
        forgetRejection(connection);
        this.#wake();
      });
      // ioredis gives a connection up for good if it is told of a fail-over while it asks a sentinel for the master.
      connection.on("end", () => {
        if (!this.#isClosed) setTimeout(() => this.#revive(connection), backoffMs(1)).unref();
      });
      return connection;
    };
    this.commands = watched("commands", (name) => openCommands(target, name));
    this.confirmed = watched("confirmed", (name) => openCommands(target, name));
    this.urgent = watched("urgent", (name) => openCommands(target, name));
    this.subscriptions = watched("subscriptions", (name) => openSubscriptions(target, name, this.commands));
  }

  get #all(): CommandConnection[] {
    return [this.commands, this.confirmed, this.urgent, this.subscriptions];
  }

  /** Whether each connection is ready, by what it is for. */
  states(): ReadonlyMap<string, boolean> {
    const { commands, confirmed, urgent, subscriptions } = this;
    const purposes = Object.entries({ commands, confirmed, urgent, subscriptions });
    return new Map(purposes.map(([purpose, { status }]) => [`${this.#prefix}${purpose}`, status === "ready"]));
  }

  /** Resolves when each connection has made its first attempt, whether or not it succeeded. */
  async start(): Promise<void> {
    await Promise.allSettled(this.#all.map((connection) => connection.connect()));
  }

  /** As `start`, where nothing but the subscriptions is used. */
  async startSubscriptions(): Promise<void> {
    await Promise.allSettled([this.subscriptions.connect()]);
  }

  close(): void {
    this.#isClosed = true;
    for (const connection of this.#all) connection.disconnect();
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
  const message = reply === undefined ? describeLoss(error) : describeRefusal(reply);
  return new SquelchError("unavailable", message, { cause: error });
}

function describeLoss(error: unknown): string {
  const outcome = isTimeout(error) ? "did not answer in time; the outcome is unknown" : "cannot be reached";
  return `Redis ${outcome}; try again`;
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
