import type { Redis } from "ioredis";
import type { Logger } from "../../lib/logger.js";
import { SharedRun } from "../../lib/sharedRun.js";
import type { EventScripts } from "./eventScripts.js";

/** How long a pause or a revocation waits for a Redis replica, ms. */
const REPLICATION_TIMEOUT_MS = 500;

/**
 * Writes that are followed by WAIT. It holds up its connection, so that this is one of its own, and one WAIT is for all
 * writes that came before it.
 */
export class ConfirmedWrites {
  readonly scripts: EventScripts;
  readonly #connection: Redis;
  readonly #logger: Logger;
  readonly #wait = new SharedRun(() => this.#waitForReplica());

  constructor(connection: Redis, scripts: EventScripts, logger: Logger) {
    this.#connection = connection;
    this.scripts = scripts.on(connection);
    this.#logger = logger;
  }

  /**
   * Resolves with whether a replica of Redis has acknowledged all that was written here, after 500 ms at the latest
   * from when an earlier wait has ended.
   *
   * @param replicas how many there are; without any there is nothing to wait for
   */
  async awaitReplication(replicas: number): Promise<boolean> {
    return replicas > 0 && this.#wait.run();
  }

  async #waitForReplica(): Promise<boolean> {
    try {
      return (await this.#connection.wait(1, REPLICATION_TIMEOUT_MS)) > 0;
    } catch (error) {
      this.#logger.warn({ err: error }, "waiting for a redis replica failed");
      return false;
    }
  }
}
