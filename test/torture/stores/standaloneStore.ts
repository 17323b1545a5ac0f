import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";
import { type RedisServer, startRedis } from "../../support/redis/startRedis.js";
import { type RespProxy, startRespProxy } from "../../support/resp/respProxy.js";
import { startTcpProxy, type TcpProxy } from "../../support/tcpProxy.js";
import { ANSWER_TIMEOUT_MS } from "../load/controlPlane.js";
import { Witness } from "../record/witness.js";
import { RedisData } from "./redisData.js";
import { RedisPair } from "./redisPair.js";
import { CONTROL_PLANE_OPTIONS, type Store } from "./store.js";

/** Users of Redis with all rights: so that CLIENT KILL can spare the witness, and rights can be taken from replicas. */
const WITNESS = "witness";
const REPLICAS = ["r0", "r1", "r2"];
const USER_RULES = ["on", "nopass", "~*", "&*", "+@all"];
const PASSWORD = "any";
/** A time that is longer than any outage of Redis in a fault, ms. */
const WITNESS_TIMEOUT_MS = 30_000;

interface Link {
  tcp: TcpProxy;
  resp: RespProxy;
}

/** How to start a {@link StandaloneStore}. */
export interface StandaloneOptions {
  /** True if control planes publish to a separate Redis. */
  isApart?: boolean;
}

/**
 * One Redis for everything, or one for the state and one for what control planes publish. All but the witness reach it
 * through proxies of their own: one that troubles connections, and behind it one that refuses commands.
 */
export class StandaloneStore implements Store {
  readonly isOrdered: boolean;
  readonly data: RedisData;
  readonly witness: Witness;
  /** Commands to the state's Redis past all proxies. */
  readonly admin: Redis;
  readonly #links = new Map<string, Link>();
  readonly #pair: RedisPair;
  #isOpen = true;

  private constructor(
    readonly redis: RedisServer,
    /** The server to which control planes publish: `redis`, or a separate one. */
    readonly ingest: RedisServer,
    /** The files of `redis`. */
    readonly directory: string,
  ) {
    this.isOrdered = redis === ingest;
    this.data = new RedisData(directory);
    this.#pair = new RedisPair(redis, userArgs());
    this.admin = connectWitness(redis);
    const controlPlane = this.isApart ? connectWitness(ingest) : this.admin;
    const servers = [...new Set([redis, ingest])].map(({ port }) => ({ port, username: WITNESS, password: PASSWORD }));
    this.witness = new Witness({ servers, events: this.admin, controlPlane });
  }

  static async start({ isApart = false }: StandaloneOptions = {}): Promise<StandaloneStore> {
    const directory = await mkdtemp(join(tmpdir(), "squelch-fleet-"));
    // Redis writes each change to its file before it answers, so that a kill loses nothing.
    const args = ["--appendonly", "yes", "--appendfsync", "no", "--enable-protected-configs", "local", ...userArgs()];
    const redis = await startRedis({ dir: directory, args });
    try {
      const ingest = isApart ? await startRedis({ args: userArgs() }) : redis;
      return new StandaloneStore(redis, ingest, directory);
    } catch (error) {
      await redis.stop();
      throw error;
    }
  }

  /** True if control planes publish to a separate Redis. */
  get isApart(): boolean {
    return this.redis !== this.ingest;
  }

  /** How often replicas were answered with each error. */
  get refused(): ReadonlyMap<string, number> {
    const sum = new Map<string, number>();
    for (const name of REPLICAS) {
      for (const { errors } of this.refusers(name)) {
        for (const [code, times] of errors) sum.set(code, (sum.get(code) ?? 0) + times);
      }
    }
    return sum;
  }

  /** The proxy that troubles the connections between a replica or a control plane and its Redis. */
  link(name: string): TcpProxy {
    return this.#linkOf(name).tcp;
  }

  /** The proxies that refuse a replica's commands: to the Redis of the state, and to that of the ingest if it is apart. */
  refusers(name: string): RespProxy[] {
    return [this.#links.get(name), this.#links.get(ingestLink(name))].flatMap((link) => link?.resp ?? []);
  }

  /**
   * Admits or excludes every client except the witness, so that after a restart nothing happens before the witness is
   * subscribed.
   */
  async setOpen(isOpen: boolean): Promise<void> {
    if (isOpen) await this.witness.standing();
    this.#isOpen = isOpen;
    if (isOpen) return;
    for (const { tcp, resp } of this.#links.values()) {
      tcp.cut();
      resp.cut();
    }
  }

  /**
   * Makes another server the master, as a load balancer would: new connections lead to it, while those of replicas stay
   * with the former master, which now rejects writes.
   */
  handOver(controlPlanes: readonly string[]): Promise<void> {
    return this.#withoutControlPlanes(controlPlanes, () => this.#pair.handOver());
  }

  /** Ends `handOver`. Open connections stay with the server that is now demoted. */
  takeBack(controlPlanes: readonly string[]): Promise<void> {
    return this.#withoutControlPlanes(controlPlanes, () => this.#pair.takeBack());
  }

  async replicaArgs(name: string): Promise<string[]> {
    const urlOf = (port: number) => `redis://${name}:${PASSWORD}@127.0.0.1:${port}`;
    const args = ["--redis-url", urlOf(await this.#openLink(name, () => this.#pair.masterPort))];
    if (!this.isApart) return args;
    return [...args, "--ingest-redis-url", urlOf(await this.#openLink(ingestLink(name), () => this.ingest.port))];
  }

  async connect(name: string): Promise<Redis> {
    const targetPort = () => (this.isApart ? this.ingest.port : this.#pair.masterPort);
    const port = await this.#openLink(name, targetPort);
    return new Redis({ port, commandTimeout: ANSWER_TIMEOUT_MS, ...CONTROL_PLANE_OPTIONS });
  }

  async noteRest(witnessed: number): Promise<void> {
    await this.#pair.part();
    await this.data.copy(witnessed);
  }

  async noteFailovers(): Promise<boolean> {
    return false;
  }

  /** Gives all replicas all rights again. */
  async restoreRights(): Promise<void> {
    for (const name of REPLICAS) await this.admin.call("ACL", "SETUSER", name, "reset", ...USER_RULES);
  }

  /** Breaks the connections of replicas and control planes to the state's Redis, or only those of one kind. */
  async killClients(type: "pubsub" | "normal"): Promise<void> {
    for (const user of ["default", ...REPLICAS]) await this.admin.call("CLIENT", "KILL", "TYPE", type, "USER", user);
  }

  heal(): void {
    for (const { tcp, resp } of this.#links.values()) {
      tcp.heal();
      resp.heal();
    }
    this.redis.resume();
  }

  async stop(): Promise<void> {
    this.witness.close();
    this.admin.disconnect();
    for (const { tcp, resp } of this.#links.values()) await Promise.all([tcp.close(), resp.close()]);
    await this.#pair.part();
    await this.redis.stop();
    if (this.isApart) await this.ingest.stop();
    await rm(this.directory, { recursive: true, force: true });
  }

  // A message that is published on a demoted server reaches only the clients that have stayed with it.
  async #withoutControlPlanes(names: readonly string[], act: () => Promise<void>): Promise<void> {
    const links = this.isApart ? [] : names.map((name) => this.link(name));
    for (const link of links) link.refuse();
    try {
      await act();
    } finally {
      for (const link of links) link.heal();
    }
  }

  #linkOf(name: string): Link {
    const link = this.#links.get(name);
    if (link === undefined) throw new Error(`${name} has no connection to Redis`);
    return link;
  }

  async #openLink(name: string, targetPort: () => number): Promise<number> {
    const resp = await startRespProxy(() => (this.#isOpen ? targetPort() : undefined));
    const tcp = await startTcpProxy(() => (this.#isOpen ? resp.port : undefined));
    this.#links.set(name, { tcp, resp });
    return tcp.port;
  }
}

const ingestLink = (name: string) => `${name} ingest`;

function userArgs(): string[] {
  return [WITNESS, ...REPLICAS].flatMap((name) => ["--user", name, ...USER_RULES]);
}

function connectWitness({ port }: RedisServer): Redis {
  const patience = { maxRetriesPerRequest: null, retryStrategy: () => 20, commandTimeout: WITNESS_TIMEOUT_MS };
  const connection = new Redis({ port, username: WITNESS, password: PASSWORD, ...patience });
  return connection.on("error", () => undefined);
}
