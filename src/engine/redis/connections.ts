import { Redis, type RedisOptions } from "ioredis";
import { SquelchError } from "../../domain/errors.js";
import { backoffMs } from "../../lib/backoff.js";
import type { Logger } from "../../lib/logger.js";

/** How long the store may take for one command before the caller is told UNAVAILABLE. */
const COMMAND_TIMEOUT_MS = 2_000;

/**
 * The connections of one process to one Redis. Each retries for ever after 1, 2, 4, 8, 16, 30 s; one that gets through
 * wakes the others.
 */
export class Connections {
  /** For everything but what is below. A command fails at once while it is down: nothing waits in a queue. */
  readonly commands: Redis;
  /** For revocations, which are followed by WAIT; see `ConfirmedWrites`. */
  readonly confirmed: Redis;
  /** For pauses, which wait behind nothing else. */
  readonly urgent: Redis;
  /** For subscriptions alone; see `Subscriber`. */
  readonly subscriptions: Redis;

  constructor(url: string, logger: Logger) {
    const options = {
      lazyConnect: true,
      connectTimeout: 5_000,
      keepAlive: 5_000,
      retryStrategy: (attempt: number) => backoffMs(attempt),
      enableOfflineQueue: false,
      autoResendUnfulfilledCommands: false,
      autoResubscribe: false,
      maxRetriesPerRequest: 0,
      commandTimeout: COMMAND_TIMEOUT_MS,
    } satisfies RedisOptions;
    const open = (purpose: string) => {
      const connection = new Redis(url, { ...options, connectionName: `squelch-${purpose}` });
      connection.on("error", (error) => logger.warn({ purpose, error: error.message }, "redis connection failed"));
      connection.on("ready", () => this.#wake());
      return connection;
    };
    this.commands = open("commands");
    this.confirmed = open("confirmed");
    this.urgent = open("urgent");
    this.subscriptions = open("subscriptions");
  }

  get #all(): Redis[] {
    return [this.commands, this.confirmed, this.urgent, this.subscriptions];
  }

  /** Whether each connection is ready, by what it is for. */
  states(): ReadonlyMap<string, boolean> {
    const { commands, confirmed, urgent, subscriptions } = this;
    const purposes = Object.entries({ commands, confirmed, urgent, subscriptions });
    return new Map(purposes.map(([purpose, { status }]) => [purpose, status === "ready"]));
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
    for (const connection of this.#all) connection.disconnect();
  }

  // A connection in its back-off need not wait for the end of it once another has got through. What its own attempt
  // comes to is heard by its listeners.
  #wake(): void {
    for (const connection of this.#all) {
      if (connection.status === "reconnecting") connection.connect().catch(() => undefined);
    }
  }
}

// Answers of a Redis that is there but cannot serve now.
const TRANSIENT_REPLY = /^(LOADING|READONLY|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|NOREPLICAS|OOM|BUSY|MISCONF)\b/;

/** What a failed command means to its caller. A reply that says neither is a defect and stays as it is. */
export function toStoreError(error: unknown): unknown {
  if (error instanceof SquelchError) return error;
  const { name, message } = error instanceof Error ? error : { name: "", message: String(error) };
  if (name === "ReplyError" && !TRANSIENT_REPLY.test(message)) return error;
  const outcome = /timed out/i.test(message) ? "did not answer in time; the outcome is unknown" : "cannot be reached";
  return new SquelchError("unavailable", `Redis ${outcome}; try again`, { cause: error });
}

/** Resolves to what a command answers; rejects as `toStoreError` says. */
export async function attempt<T>(command: Promise<T>): Promise<T> {
  try {
    return await command;
  } catch (error) {
    throw toStoreError(error);
  }
}
