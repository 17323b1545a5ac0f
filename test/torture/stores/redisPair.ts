import { type RedisServer, startRedis } from "../../support/redis/startRedis.js";
import { waitFor } from "../../support/waitFor.js";

const TIMEOUT_MS = 20_000;

/** A Redis, and temporarily a second one that can take over and hand back without losing data. */
export class RedisPair {
  readonly #redis: RedisServer;
  readonly #args: readonly string[];
  #peer: RedisServer | undefined;
  #master: RedisServer;

  /** @param args of the other server */
  constructor(redis: RedisServer, args: readonly string[]) {
    this.#redis = redis;
    this.#master = redis;
    this.#args = args;
  }

  /** The port of the server that takes writes. */
  get masterPort(): number {
    return this.#master.port;
  }

  /** The other server becomes the master of the first. */
  async handOver(): Promise<void> {
    if (this.#peer === undefined) {
      const args = ["--replicaof", "127.0.0.1", `${this.#redis.port}`, "--shutdown-timeout", "0", ...this.#args];
      await this.#redis.cli("CONFIG", "SET", "repl-diskless-sync-delay", "0");
      this.#peer = await startRedis({ args: [...args, "--repl-diskless-sync-delay", "0"] });
    }
    await this.#failOver(this.#redis, this.#peer);
  }

  /** The first server becomes the master again, and the other one becomes its replica. */
  async takeBack(): Promise<void> {
    if (this.#peer === undefined) throw new Error("no other server has taken over");
    await this.#failOver(this.#peer, this.#redis);
  }

  /** Ends the other server, if there is one. */
  async part(): Promise<void> {
    const peer = this.#peer;
    this.#peer = undefined;
    this.#master = this.#redis;
    // Open connections to it are not a leak, because the clients were not asked to close them.
    await peer?.kill("SIGKILL");
    await peer?.stop();
  }

  async #failOver(from: RedisServer, to: RedisServer): Promise<void> {
    const isFollowing = async ({ cli }: RedisServer, port: number) =>
      (await cli("ROLE")).startsWith(`slave\n127.0.0.1\n${port}\nconnected`);
    await waitFor(() => isFollowing(to, from.port), { timeoutMs: TIMEOUT_MS, message: "a replica that follows" });
    // The replica follows a moment before the master counts it as online, which refuses FAILOVER until then.
    const isOnline = async () => (await from.cli("INFO", "replication")).includes(`port=${to.port},state=online`);
    await waitFor(isOnline, { timeoutMs: TIMEOUT_MS, message: "a replica that its master counts as online" });
    // Redis makes sure that the replica has all data before it takes over.
    await from.cli("FAILOVER", "TO", "127.0.0.1", `${to.port}`);
    await waitFor(() => isFollowing(from, to.port), { timeoutMs: TIMEOUT_MS, message: "the former master to follow" });
    this.#master = to;
  }
}
