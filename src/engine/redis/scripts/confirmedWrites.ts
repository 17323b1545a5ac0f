import type { Redis } from "ioredis";
import type { Logger } from "../../../lib/logger.js";
import { SharedRun } from "../../../lib/sharedRun.js";
import { type CommandConnection, isStanding, serverOf } from "../connection/openConnection.js";
import { eventKeys } from "../keys.js";
import type { EventScripts } from "./eventScripts.js";

/** How long a pause or a revocation waits for a Redis replica, ms. */
const REPLICATION_TIMEOUT_MS = 500;

/**
 * Writes that are followed by WAIT. It holds up its connection, so that this is one of its own, and one WAIT is for all
 * writes that came before it on the same server.
 */
export class ConfirmedWrites {
  readonly scripts: EventScripts;
  readonly #connection: CommandConnection;
  readonly #logger: Logger;
  readonly #alternatives: readonly ConfirmedWrites[];
  readonly #waits = new WeakMap<Redis, SharedRun<boolean>>();

  /** @param alternatives on other connections: each is used while those before it are down */
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
   * The writes of an event that go over a connection that stands: these, or an alternative while this connection is down.
   * The script and `awaitReplication` have to go over one connection, so a caller keeps what this returns.
   */
  standing(eventId: string): ConfirmedWrites {
    const key = eventKeys(eventId).meta;
    return [this, ...this.#alternatives].find((writes) => isStanding(writes.#connection, key)) ?? this;
  }

  /**
   * Resolves with whether a replica of Redis has acknowledged all that was written here to an event, after 500 ms at the
   * latest from when an earlier wait has ended.
   *
   * @param replicas how many there are; without any there is nothing to wait for
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
      this.#logger.warn({ err: error }, "waiting for a redis replica failed");
      return false;
    }
  }
}
