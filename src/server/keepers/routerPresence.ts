import type { Engine } from "../../domain/ports/engine.js";
import type { Logger } from "../../lib/logger.js";

/** How often the store is told which routers' watches are open, ms: well within the time for which it remembers. */
const HOLD_INTERVAL_MS = 20_000;

/**
 * Tells the store which routers watch which events here, so that they are waited for. A router that never reports what
 * it has in force would else be forgotten although it is connected, and everything seem to be in force.
 */
export class RouterPresence {
  readonly #engine: Engine;
  readonly #logger: Logger;
  /** By router, the number of its watches of each event: an old one may outlive the new one's opening. */
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
      // A store that was emptied knows of nobody.
      engine.onFeedRestored(() => void this.#holdAll()),
    );
  }

  /** The routers that have a watch open here. */
  get routerIds(): string[] {
    return [...this.#watches.keys()];
  }

  /**
   * A router watches an event, until `leave`. Resolves when the store knows; also if it could not be told, and then it
   * will be.
   */
  async enter(routerId: string, eventId: string): Promise<void> {
    const known = this.#watches.get(routerId);
    const events = known ?? new Map<string, number>();
    this.#watches.set(routerId, events.set(eventId, (events.get(eventId) ?? 0) + 1));
    if (known === undefined) this.onRoutersChanged();
    await this.#hold(routerId, [eventId]);
  }

  /** That watch has ended. The store remembers the router for a while: its clients may still be connected. */
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

  // One router after another, so that they do not all come at once.
  async #holdAll(): Promise<void> {
    for (const [routerId, events] of this.#watches) await this.#hold(routerId, [...events.keys()]);
  }

  async #hold(routerId: string, eventIds: readonly string[]): Promise<void> {
    try {
      await this.#engine.holdRouter(routerId, eventIds);
    } catch (error) {
      this.#logger.warn({ err: error, routerId }, "the store could not be told of a router, will try again");
    }
  }
}
