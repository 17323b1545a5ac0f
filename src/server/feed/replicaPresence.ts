import type { Logger } from "../../lib/logger.js";
import { version } from "../../lib/ownPackage.js";
import type { Hub } from "./hub.js";

/** How often the store is told of this replica, ms: well within the time for which it remembers. */
const REPORT_INTERVAL_MS = 5_000;
/** How soon it is told of routers that have come or gone, ms: many may do so at once. */
const ROUTERS_DELAY_MS = 200;

/** Tells the store of this replica, so that every other can say which there are. */
export class ReplicaPresence {
  readonly #hub: Hub;
  readonly #logger: Logger;
  readonly #addresses: { grpcAddress: string; httpAddress: string };
  readonly #stop: (() => void)[];
  #soon: NodeJS.Timeout | undefined;

  /** @param addresses where it listens */
  constructor(hub: Hub, addresses: { grpcAddress: string; httpAddress: string }, logger: Logger) {
    this.#hub = hub;
    this.#addresses = addresses;
    this.#logger = logger;
    const timer = setInterval(() => void this.#report(), REPORT_INTERVAL_MS);
    hub.presence.onRoutersChanged = () => {
      this.#soon ??= setTimeout(() => void this.#report(), ROUTERS_DELAY_MS);
    };
    this.#stop = [
      () => {
        clearInterval(timer);
        clearTimeout(this.#soon);
        hub.presence.onRoutersChanged = () => undefined;
      },
      hub.engine.onFeedRestored(() => void this.#report()),
    ];
    void this.#report();
  }

  /** This replica is leaving. Resolves when the store knows, or could not be told. Idempotent. */
  async close(): Promise<void> {
    for (const stop of this.#stop.splice(0)) stop();
    try {
      await this.#hub.engine.forgetReplica(this.#hub.replicaId);
    } catch (error) {
      this.#logger.debug({ err: error }, "the store could not be told that this replica leaves, it will forget");
    }
  }

  async #report(): Promise<void> {
    clearTimeout(this.#soon);
    this.#soon = undefined;
    const { replicaId, health, counts, loadedEvents, presence, engine } = this.#hub;
    try {
      await engine.noteReplica({
        replicaId,
        version,
        ...this.#addresses,
        uptimeMs: Math.round(performance.now() - this.#hub.startedMs),
        feedHealthy: health.healthy,
        feedAgeMs: health.ageMs,
        watches: counts.watchers,
        loadedEvents,
        routerIds: presence.routerIds,
      });
    } catch (error) {
      this.#logger.debug({ err: error }, "the store could not be told of this replica, will try again");
    }
  }
}
