import { setTimeout as sleep } from "node:timers/promises";
import { startTcpProxy, type TcpProxy } from "../../support/tcpProxy.js";
import type { Stranding, Trouble } from "../record/history.js";
import { RouterRecorder } from "../record/routerRecorder.js";
import type { Witness } from "../record/witness.js";
import type { Store } from "../stores/store.js";
import { ReplicaProcess } from "./replicaProcess.js";

/** The longest time until all connections are restored after a fault, on a very busy machine, ms. */
const RECOVERY_MS = 60_000;
const POLL_MS = 10;

export interface FleetOptions {
  eventIds: readonly string[];
  /** Default 3. */
  replicas?: number;
  /** Default 6. */
  routers?: number;
  /** Default 2. */
  controlPlanes?: number;
  /** How long parties may take to recover from a fault, ms; default 60,000. */
  recoveryMs?: number;
  /** The arguments of node that each replica runs instead of `squelch serve`. */
  program?: readonly string[];
}

/**
 * Replicas in their own processes, and routers. Each pair is connected through its own proxy, so each connection can be
 * disturbed separately.
 */
export class Fleet<S extends Store = Store> {
  readonly troubles: Trouble[] = [];
  readonly strandings: Stranding[] = [];
  readonly routers: RouterRecorder[] = [];
  readonly replicas: ReplicaProcess[] = [];
  readonly controlPlanes: string[];
  readonly #links = new Map<string, TcpProxy>();
  readonly #eventIds: readonly string[];
  readonly #recoveryMs: number;

  private constructor(
    readonly store: S,
    { eventIds, controlPlanes = 2, recoveryMs = RECOVERY_MS }: FleetOptions,
  ) {
    this.#eventIds = eventIds;
    this.#recoveryMs = recoveryMs;
    this.controlPlanes = names("c", controlPlanes);
  }

  /** Takes over the store and closes it at the end. Resolves when all routers are caught up. */
  static async start<S extends Store>(store: S, options: FleetOptions): Promise<Fleet<S>> {
    const fleet = new Fleet(store, options);
    try {
      await fleet.#open(options);
      return fleet;
    } catch (error) {
      await fleet.stop();
      throw error;
    }
  }

  get witness(): Witness {
    return this.store.witness;
  }

  get parties(): string[] {
    return [...this.replicas, ...this.routers].map(({ name }) => name);
  }

  replica(name: string): ReplicaProcess {
    return this.replicas.find((replica) => replica.name === name) as ReplicaProcess;
  }

  /** The proxy between a router or a control plane and a replica. */
  link(from: string, to: string): TcpProxy {
    const link = this.#links.get(`${from}-${to}`);
    if (link === undefined) throw new Error(`there is no connection from ${from} to ${to}`);
    return link;
  }

  /** The addresses of all replicas as one party sees them. */
  addressFor(party: string): string {
    return this.replicas.map(({ name }) => `127.0.0.1:${this.link(party, name).port}`).join();
  }

  /** Records that a fault affects these parties. Call `to.recovered` when it has ceased. */
  beginTrouble(fault: string, parties: readonly string[], isDeaf = true): { recovered(): Promise<void> } {
    const begun = parties.map((party) => {
      const trouble = { party, fault, isDeaf, from: performance.now(), to: Number.POSITIVE_INFINITY };
      this.troubles.push(trouble);
      return trouble;
    });
    return {
      recovered: async () => {
        const ceasedAt = performance.now();
        await Promise.all(
          begun.map(async (trouble) => {
            await this.#recovery(trouble.party, ceasedAt);
            trouble.to = performance.now();
          }),
        );
      },
    };
  }

  /** Resolves when all connections are open and carry no data that was sent earlier. */
  async allStanding(): Promise<void> {
    const at = performance.now();
    await Promise.all(this.parties.map((party) => this.#recovery(party, at)));
  }

  /** Records a trouble from then until now that no fault has caused. */
  noteTrouble(fault: string, parties: readonly string[], from: number): void {
    const to = performance.now();
    for (const party of parties) this.troubles.push({ party, fault, isDeaf: true, from, to });
  }

  /**
   * Lists the replicas that have logged since the last call that their subscription was silent for 6 s and was
   * reopened. A busy machine can cause that.
   */
  takeSilent(): string[] {
    return this.replicas.filter((replica) => replica.takeSilences() > 0).map(({ name }) => name);
  }

  async stop(): Promise<void> {
    for (const link of this.#links.values()) link.heal();
    this.store.heal();
    await Promise.all(this.routers.map((router) => router.close()));
    await Promise.all(this.replicas.map((replica) => replica.stop()));
    await Promise.all([...this.#links.values()].map((link) => link.close()));
    await this.store.stop();
  }

  async #open({ replicas = 3, routers = 6, program }: FleetOptions): Promise<void> {
    await this.witness.standing();
    const routerNames = names("w", routers);
    for (const name of names("r", replicas)) {
      const replica = new ReplicaProcess(name, await this.store.replicaArgs(name), program);
      this.replicas.push(replica);
      for (const client of [...routerNames, ...this.controlPlanes]) {
        this.#links.set(`${client}-${name}`, await startTcpProxy(() => replica.grpcPort));
      }
    }
    await Promise.all(this.replicas.map((replica) => replica.start()));
    for (const [index, name] of routerNames.entries()) {
      const eventIds = index % 2 === 0 ? this.#eventIds : [];
      this.routers.push(new RouterRecorder(name, this.addressFor(name), eventIds));
    }
    await this.allStanding();
  }

  async #recovery(party: string, since: number): Promise<void> {
    const router = this.routers.find(({ name }) => name === party);
    const isStanding = router ? () => router.hasStoodSince(since) : () => this.replica(party).isReady();
    while (!(await isStanding())) {
      if (performance.now() - since > this.#recoveryMs) {
        this.strandings.push({ party, at: performance.now() });
        return;
      }
      await sleep(POLL_MS);
    }
  }
}

function names(prefix: string, count: number): string[] {
  return Array.from({ length: count }, (_, index) => `${prefix}${index}`);
}
