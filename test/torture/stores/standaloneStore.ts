import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";
import { type RedisServer, startRedis } from "../../support/redis/startRedis.js";
import { startTcpProxy, type TcpProxy } from "../../support/tcpProxy.js";
import { ANSWER_TIMEOUT_MS } from "../load/controlPlane.js";
import { Witness } from "../record/witness.js";
import { RedisData } from "./redisData.js";
import { CONTROL_PLANE_OPTIONS, type Store } from "./store.js";

/** A user of Redis with all rights, so that CLIENT KILL can spare the witness. */
const WITNESS = { username: "witness", password: "any" };
const WITNESS_ARGS = ["--user", WITNESS.username, "on", "nopass", "~*", "&*", "+@all"];
/** Longer than any fault keeps Redis away, ms. */
const WITNESS_TIMEOUT_MS = 30_000;

/** One Redis. Everybody but the witness reaches it through a proxy of their own. */
export class StandaloneStore implements Store {
  readonly isOrdered = true;
  readonly data: RedisData;
  readonly witness: Witness;
  readonly #directory: string;
  readonly #links = new Map<string, TcpProxy>();
  #isOpen = true;

  private constructor(
    readonly redis: RedisServer,
    directory: string,
  ) {
    this.#directory = directory;
    this.data = new RedisData(directory);
    const server = { port: redis.port, ...WITNESS };
    const patience = { maxRetriesPerRequest: null, retryStrategy: () => 20, commandTimeout: WITNESS_TIMEOUT_MS };
    const commands = new Redis({ ...server, ...patience });
    this.witness = new Witness({ servers: [server], events: commands, controlPlane: commands });
  }

  static async start(): Promise<StandaloneStore> {
    const directory = await mkdtemp(join(tmpdir(), "squelch-fleet-"));
    // What Redis has answered is in its file, so that a kill loses nothing.
    const args = ["--appendonly", "yes", "--appendfsync", "no", ...WITNESS_ARGS];
    return new StandaloneStore(await startRedis({ dir: directory, args }), directory);
  }

  /** The proxy between a replica or a control plane and Redis. */
  link(name: string): TcpProxy {
    const link = this.#links.get(name);
    if (link === undefined) throw new Error(`${name} has no connection to Redis`);
    return link;
  }

  /**
   * Lets all but the witness into Redis, or throws them out: so that after a restart nothing happens before the witness
   * looks on.
   */
  async setOpen(isOpen: boolean): Promise<void> {
    if (isOpen) await this.witness.standing();
    this.#isOpen = isOpen;
    if (isOpen) return;
    for (const link of this.#links.values()) link.cut();
  }

  async replicaArgs(name: string): Promise<string[]> {
    return ["--redis-url", `redis://127.0.0.1:${await this.#openLink(name)}`];
  }

  async connect(name: string): Promise<Redis> {
    const port = await this.#openLink(name);
    return new Redis({ port, commandTimeout: ANSWER_TIMEOUT_MS, ...CONTROL_PLANE_OPTIONS });
  }

  noteRest(witnessed: number): Promise<void> {
    return this.data.copy(witnessed);
  }

  async noteFailovers(): Promise<boolean> {
    return false;
  }

  heal(): void {
    for (const link of this.#links.values()) link.heal();
    this.redis.resume();
  }

  async stop(): Promise<void> {
    this.witness.close();
    await Promise.all([...this.#links.values()].map((link) => link.close()));
    await this.redis.stop();
    await rm(this.#directory, { recursive: true, force: true });
  }

  async #openLink(name: string): Promise<number> {
    const link = await startTcpProxy(() => (this.#isOpen ? this.redis.port : undefined));
    this.#links.set(name, link);
    return link.port;
  }
}
