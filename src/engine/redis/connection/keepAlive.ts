import { Cluster, type Redis } from "ioredis";
import { isDenied } from "./errorReplies.js";
import type { CommandConnection } from "./openConnection.js";

/**
 * The interval at which each connection sends a command, ms. Redis closes a connection that was idle for longer than
 * its `timeout` setting, which is at least one second.
 */
const INTERVAL_MS = 1_000;

/**
 * Sends a command on each open connection every second, so that Redis does not close idle connections. The command is
 * ROLE, which also shows that a connected server was demoted. It is PING for Cluster nodes, which redirect commands
 * themselves, and if an ACL denies ROLE.
 *
 * Subscription connections are left out, because Redis never closes them for being idle.
 */
export class KeepAlive {
  readonly #connections: readonly CommandConnection[];
  readonly #onRole: (isMaster: boolean | undefined) => void;
  readonly #awaited = new WeakSet<Redis>();
  readonly #withoutRole = new WeakSet<Redis>();
  #timer: NodeJS.Timeout | undefined;

  /** @param onRole receives each answer to ROLE, or undefined if an ACL denies ROLE */
  constructor(connections: readonly CommandConnection[], onRole: (isMaster: boolean | undefined) => void) {
    this.#connections = connections;
    this.#onRole = onRole;
  }

  /** Starts to send commands. Idempotent. */
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

  /** Sends one command now, unless the connection is down or has not answered the previous command. Never rejects. */
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
      // Any other failure closes the connection or comes from a server that hangs. Its listeners and callers report
      // those.
      if (isDenied(error)) this.#withoutRole.add(server);
    } finally {
      this.#awaited.delete(server);
    }
  }
}
