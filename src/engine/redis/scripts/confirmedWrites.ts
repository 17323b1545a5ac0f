import type { Redis } from "ioredis";
import type { Logger } from "../../../lib/logger.js";
import { SharedRun } from "../../../lib/sharedRun.js";
import { type CommandConnection, isStanding, serverOf } from "../connection/openConnection.js";
import { eventKeys } from "../keys.js";
import type { EventScripts } from "./eventScripts.js";

/** The longest time that a pause or a revocation waits for a Redis replica, ms. */
const REPLICATION_TIMEOUT_MS = 500;

/**
 * Runs writes that are followed by WAIT. WAIT blocks its connection, so these writes have a connection of their own.
 * One WAIT confirms all earlier writes on the same server.
 */
export class ConfirmedWrites {
  readonly scripts: EventScripts;
  readonly #connection: CommandConnection;
  readonly #logger: Logger;
  readonly #alternatives: readonly ConfirmedWrites[];
  readonly #waits = new WeakMap<Redis, SharedRun<boolean>>();

  /** @param alternatives writers on other connections: each one is used while all before it are down */
  constructor(
    connection: CommandConnection,
    scripts: EventScripts,
    logger: Logger,
    alternatives: readonly ConfirmedWrites[] = [],
  ) {
    this.#connection = connection;
    this.#alternatives = alternatives;
    this.scripts = scripts.on(connection);
    this.#logger = logger;
  }

  /**
   * Returns the writer for an event: this one, or an alternative while this connection is down. The script and
   * `awaitReplication` must use the same connection, so the caller keeps the returned writer.
   */
  standing(eventId: string): ConfirmedWrites {
    const key = eventKeys(eventId).meta;
    return [this, ...this.#alternatives].find((writes) => isStanding(writes.#connection, key)) ?? this;
  }

  /**
   * Resolves with whether a Redis replica has acknowledged everything that was written here to an event. It takes at
   * most 500 ms after an earlier wait has ended.
   *
   * @param replicas the number of Redis replicas; with none there is no wait
   */
  async awaitReplication(eventId: string, replicas: number): Promise<boolean> {
    const server = serverOf(this.#connection, eventKeys(eventId).meta);
    if (replicas === 0 || server === undefined) return false;
    const wait = this.#waits.get(server) ?? new SharedRun(() => this.#wait(server));
    this.#waits.set(server, wait);
    return wait.run();
  }

  async #wait(server: Redis): Promise<boolean> {
    try {
      return (await server.wait(1, REPLICATION_TIMEOUT_MS)) > 0;
    } catch (error) {
      this.#logger.warn({ err: error }, "wait for a redis replica failed");
      return false;
    }
  }
}
