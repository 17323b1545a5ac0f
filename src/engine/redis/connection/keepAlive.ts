import { Cluster, type Redis } from "ioredis";
import type { CommandConnection } from "./openConnection.js";

/**
 * How often each connection sends a command, ms: Redis closes those that were silent for longer than its `timeout`, whole
 * seconds, of which 1 is the least.
 */
const INTERVAL_MS = 1_000;

/**
 * Sends a command on each open connection every second, so that Redis does not close it for being idle. The command is
 * ROLE, so that a server that was demoted under a standing connection is noticed; it is PING for the nodes of a Cluster,
 * which redirect commands themselves, and where an ACL denies ROLE.
 *
 * Connections for subscriptions are left out: Redis never closes them for being idle.
 */
export class KeepAlive {
  readonly #connections: readonly CommandConnection[];
  readonly #onRole: (isMaster: boolean | undefined) => void;
  readonly #awaited = new WeakSet<Redis>();
  readonly #withoutRole = new WeakSet<Redis>();
  #timer: NodeJS.Timeout | undefined;

  /** @param onRole called with each answer to ROLE, and with undefined where an ACL denies it */
  constructor(connections: readonly CommandConnection[], onRole: (isMaster: boolean | undefined) => void) {
    this.#connections = connections;
    this.#onRole = onRole;
  }

  /** Idempotent. */
  start(): void {
    this.#timer ??= setInterval(() => {
      for (const connection of this.#connections) {
        if (connection instanceof Cluster) {
          for (const node of connection.nodes()) void this.send(node, true);
        } else void this.send(connection);
      }
    }, INTERVAL_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** Sends one command now, unless the connection is down or has not answered the last one. Never rejects. */
  async send(server: Redis, isNode = false): Promise<void> {
    if (server.status !== "ready" || this.#awaited.has(server)) return;
    this.#awaited.add(server);
    try {
      if (isNode) await server.ping();
      else if (this.#withoutRole.has(server)) {
        await server.ping();
        this.#onRole(undefined);
      } else this.#onRole((await server.role())[0] === "master");
    } catch (error) {
      // Each other failure ends the connection, or is of a server that hangs: its own listeners and callers report it.
      if (error instanceof Error && /^NOPERM\b|^ERR unknown command/.test(error.message)) this.#withoutRole.add(server);
    } finally {
      this.#awaited.delete(server);
    }
  }
}
