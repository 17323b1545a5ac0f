import type { Engine } from "../../domain/ports/engine.js";
import type { Logger } from "../../lib/logger.js";

/** How often the open watches of routers are recorded, ms: well within the minute after which the store forgets them. */
const HOLD_INTERVAL_MS = 20_000;

/**
 * Records in the store which routers watch which events on this replica, so that callers wait for them. Without it, a
 * connected router that never reports what it has applied would be forgotten, and its changes would count as applied.
 */
export class RouterPresence {
  readonly #engine: Engine;
  readonly #logger: Logger;
  /** The number of watches by router id and event id. It is above 1 while a new watch overlaps an old one. */
  readonly #watches = new Map<string, Map<string, number>>();
  readonly #stop: (() => void)[] = [];
  /** Called when a router opens its first watch here, and when its last one has ended. */
  onRoutersChanged: () => void = () => undefined;

  constructor(engine: Engine, logger: Logger) {
    this.#engine = engine;
    this.#logger = logger;
    const timer = setInterval(() => void this.#holdAll(), HOLD_INTERVAL_MS);
    this.#stop.push(
      () => clearInterval(timer),
      // The store may have lost its data.
      engine.onFeedRestored(() => void this.#holdAll()),
    );
  }

  /** The routers that have a watch open here. */
  get routerIds(): string[] {
    return [...this.#watches.keys()];
  }

  /**
   * Records that a router watches an event, until `leave`. Resolves also if the store could not be reached; the record is
   * then written later.
   */
  async enter(routerId: string, eventId: string): Promise<void> {
    const known = this.#watches.get(routerId);
    const events = known ?? new Map<string, number>();
    this.#watches.set(routerId, events.set(eventId, (events.get(eventId) ?? 0) + 1));
    if (known === undefined) this.onRoutersChanged();
    await this.#hold(routerId, [eventId]);
  }

  /** Records that a watch has ended. The store keeps the router for a while, since its clients may still be connected. */
  leave(routerId: string, eventId: string): void {
    const events = this.#watches.get(routerId);
    const count = events?.get(eventId) ?? 0;
    if (count > 1) events?.set(eventId, count - 1);
    else events?.delete(eventId);
    if (events?.size === 0 && this.#watches.delete(routerId)) this.onRoutersChanged();
  }

  close(): void {
    for (const stop of this.#stop.splice(0)) stop();
    this.#watches.clear();
  }

  // Writes one router after another, to spread the load on the store.
  async #holdAll(): Promise<void> {
    for (const [routerId, events] of this.#watches) await this.#hold(routerId, [...events.keys()]);
  }

  async #hold(routerId: string, eventIds: readonly string[]): Promise<void> {
    try {
      await this.#engine.holdRouter(routerId, eventIds);
    } catch (error) {
      this.#logger.warn({ err: error, routerId }, "the watch of a router could not be recorded, will try again");
    }
  }
}
