import { Redis } from "ioredis";
import { type SentinelGroup, startSentinel } from "../../support/redis/startSentinel.js";
import { FailoverWatch } from "../fleet/failoverWatch.js";
import { ANSWER_TIMEOUT_MS } from "../load/controlPlane.js";
import { Witness } from "../record/witness.js";
import { CONTROL_PLANE_OPTIONS, type Store } from "./store.js";

/** How long a server must be silent to count as down, ms, so that a server that only waits for a CPU does not. */
const DOWN_AFTER_MS = 2_000;

/** A master with two replicas and three sentinels. */
export class SentinelStore implements Store {
  readonly isOrdered = true;
  readonly witness: Witness;
  readonly #failovers: FailoverWatch;

  private constructor(readonly group: SentinelGroup) {
    const { servers } = group;
    const commands = connectToMaster(group, { retryStrategy: () => 50 });
    this.witness = new Witness({ servers, events: commands, controlPlane: commands });
    this.#failovers = new FailoverWatch(this.witness, () => group.settled());
  }

  static async start(): Promise<SentinelStore> {
    return new SentinelStore(await startSentinel({ downAfterMs: DOWN_AFTER_MS }));
  }

  async replicaArgs(): Promise<string[]> {
    return ["--redis-url", this.group.url];
  }

  async connect(): Promise<Redis> {
    return connectToMaster(this.group, { ...CONTROL_PLANE_OPTIONS, commandTimeout: ANSWER_TIMEOUT_MS });
  }

  async noteRest(): Promise<void> {}

  noteFailovers(backTo?: number): Promise<boolean> {
    return this.#failovers.note(backTo);
  }

  heal(): void {
    for (const server of this.group.servers) server.resume();
  }

  async stop(): Promise<void> {
    this.witness.close();
    await this.group.stop();
  }
}

function connectToMaster({ url, sentinels }: SentinelGroup, options: object): Redis {
  // The URL parser does not accept a list of hosts.
  const name = url.slice(url.lastIndexOf("/") + 1);
  const addresses = sentinels.map(({ port }) => ({ host: "127.0.0.1", port }));
  return new Redis({
    ...options,
    sentinels: addresses,
    name,
    // A replaced master that returns as a replica.
    reconnectOnError: (error) => error.message.startsWith("READONLY"),
    sentinelRetryStrategy: () => 100,
  });
}
