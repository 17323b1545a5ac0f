import type { ReplicaReport } from "../../domain/fleet.js";
import type { Engine, FeedHealth } from "../../domain/ports/engine.js";
import type { Logger } from "../../lib/logger.js";
import { version } from "../../lib/ownPackage.js";
import type { RouterPresence } from "./routerPresence.js";

/** How often this replica reports itself, ms: well within the 15 s after which the store forgets it. */
const REPORT_INTERVAL_MS = 5_000;
/** The delay of a report after routers have come or gone, ms. One report then covers many of them. */
const ROUTERS_DELAY_MS = 200;

/** What a replica reports about itself. */
export interface ReportedReplica {
  readonly replicaId: string;
  readonly engine: Engine;
  readonly presence: RouterPresence;
  readonly health: FeedHealth;
  readonly counts: { readonly watchers: number };
  readonly loadedEvents: number;
  /** When the replica started, by `performance.now()`. */
  readonly startedMs: number;
  /** Set while the replica is reported: returns its present report. */
  ownReport: () => ReplicaReport | undefined;
}

/** Reports this replica to the store, so that every replica can list all of them. */
export class ReplicaPresence {
  readonly #replica: ReportedReplica;
  readonly #logger: Logger;
  readonly #addresses: { grpcAddress: string; httpAddress: string };
  readonly #stop: (() => void)[];
  #soon: NodeJS.Timeout | undefined;

  /** @param addresses the addresses on which the replica listens */
  constructor(replica: ReportedReplica, addresses: { grpcAddress: string; httpAddress: string }, logger: Logger) {
    this.#replica = replica;
    this.#addresses = addresses;
    this.#logger = logger;
    const timer = setInterval(() => void this.#report(), REPORT_INTERVAL_MS);
    replica.presence.onRoutersChanged = () => {
      this.#soon ??= setTimeout(() => void this.#report(), ROUTERS_DELAY_MS);
    };
    this.#stop = [
      () => {
        clearInterval(timer);
        clearTimeout(this.#soon);
        replica.presence.onRoutersChanged = () => undefined;
        replica.ownReport = () => undefined;
      },
      replica.engine.onFeedRestored(() => void this.#report()),
    ];
    replica.ownReport = () => this.#describe();
    void this.#report();
  }

  /** Removes this replica from the store. Resolves also if the store could not be reached. Idempotent. */
  async close(): Promise<void> {
    for (const stop of this.#stop.splice(0)) stop();
    try {
      await this.#replica.engine.forgetReplica(this.#replica.replicaId);
    } catch (error) {
      this.#logger.debug({ err: error }, "this replica could not be removed from the store, its report will expire");
    }
  }

  async #report(): Promise<void> {
    clearTimeout(this.#soon);
    this.#soon = undefined;
    try {
      await this.#replica.engine.noteReplica(this.#describe());
    } catch (error) {
      this.#logger.debug({ err: error }, "this replica could not be reported to the store, will try again");
    }
  }

  #describe(): ReplicaReport {
    const { replicaId, health, counts, loadedEvents, presence, startedMs } = this.#replica;
    return {
      replicaId,
      version,
      ...this.#addresses,
      uptimeMs: Math.round(performance.now() - startedMs),
      feedHealthy: health.healthy,
      feedAgeMs: health.ageMs,
      feedProblem: health.problem,
      watches: counts.watchers,
      loadedEvents,
      routerIds: presence.routerIds,
    };
  }
}
