import { Cluster, Redis } from "ioredis";
import { type RedisCluster, startCluster } from "../../support/redis/startCluster.js";
import { type RedisServer, startRedis } from "../../support/redis/startRedis.js";
import { FailoverWatch } from "../fleet/failoverWatch.js";
import { ANSWER_TIMEOUT_MS } from "../load/controlPlane.js";
import { Witness } from "../record/witness.js";
import { CONTROL_PLANE_OPTIONS, type Store } from "./store.js";

/** A Cluster of three masters with one replica each, and a separate Redis for the control plane. */
export class ClusterStore implements Store {
  readonly isOrdered = false;
  readonly witness: Witness;
  readonly #failovers: FailoverWatch;

  private constructor(
    readonly cluster: RedisCluster,
    readonly ingest: RedisServer,
  ) {
    const nodes = cluster.nodes.map(({ port }) => ({ host: "127.0.0.1", port }));
    const events = new Cluster(nodes, { clusterRetryStrategy: () => 100 });
    const controlPlane = new Redis({ port: ingest.port });
    this.witness = new Witness({ servers: [...cluster.nodes, ingest], events, controlPlane });
    this.#failovers = new FailoverWatch(this.witness, () => cluster.settled());
  }

  static async start(): Promise<ClusterStore> {
    const cluster = await startCluster();
    try {
      return new ClusterStore(cluster, await startRedis());
    } catch (error) {
      await cluster.stop();
      throw error;
    }
  }

  async replicaArgs(): Promise<string[]> {
    return [
      ["--redis-url", this.cluster.url, "--redis-layout", "cluster", "--legacy-routers", "off"],
      ["--ingest-redis-url", this.ingest.url],
    ].flat();
  }

  async connect(): Promise<Redis> {
    return new Redis({ port: this.ingest.port, commandTimeout: ANSWER_TIMEOUT_MS, ...CONTROL_PLANE_OPTIONS });
  }

  async noteRest(): Promise<void> {}

  noteFailovers(backTo?: number): Promise<boolean> {
    return this.#failovers.note(backTo);
  }

  heal(): void {
    for (const node of this.cluster.nodes) node.resume();
  }

  async stop(): Promise<void> {
    this.witness.close();
    await this.cluster.stop();
    await this.ingest.stop();
  }
}
