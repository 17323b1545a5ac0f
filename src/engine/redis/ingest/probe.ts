import type { FeedHealth } from "../../../domain/ports/engine.js";
import type { Logger } from "../../../lib/logger.js";
import type { Subscriber } from "../connection/subscriber.js";
import { INGEST } from "../keys.js";
import type { Tickets } from "./tickets.js";

/** How often a ticket is taken, ms. */
const PROBE_INTERVAL_MS = 2_000;
/** A subscription through which no ticket has come back for this long is taken for dead, ms. */
const PROBE_TIMEOUT_MS = 3 * PROBE_INTERVAL_MS;

/**
 * Takes a ticket every 2 s, and whenever the subscription has been (re)opened, and watches it come back: the proof that
 * what is published arrives here. A subscription that stays silent is opened anew.
 */
export class Probe {
  readonly #tickets: Tickets;
  readonly #subscriber: Subscriber;
  readonly #logger: Logger;
  readonly #stop: (() => void)[] = [];
  #lastReturnMs: number | undefined;
  #openedMs = 0;

  constructor(tickets: Tickets, subscriber: Subscriber, logger: Logger) {
    this.#tickets = tickets;
    this.#subscriber = subscriber;
    this.#logger = logger;
  }

  start(): void {
    const timer = setInterval(() => this.#tick(), PROBE_INTERVAL_MS);
    this.#stop.push(
      () => clearInterval(timer),
      this.#subscriber.subscribeWhenConnected(INGEST, (ticket) => {
        this.#lastReturnMs = performance.now();
        this.#tickets.note(Number(ticket.toString()));
      }),
      this.#subscriber.listen({
        restored: () => {
          this.#openedMs = performance.now();
          this.takeTicket();
        },
      }),
    );
  }

  stop(): void {
    for (const stop of this.#stop.splice(0)) stop();
  }

  health(): FeedHealth {
    if (this.#lastReturnMs === undefined) return { healthy: false };
    const ageMs = Math.round(performance.now() - this.#lastReturnMs);
    const isProven = this.#lastReturnMs >= this.#openedMs && ageMs < PROBE_TIMEOUT_MS;
    return { healthy: this.#subscriber.isConnected && isProven, ageMs };
  }

  #tick(): void {
    const silentMs = performance.now() - Math.max(this.#lastReturnMs ?? 0, this.#openedMs);
    if (this.#subscriber.isConnected && silentMs > PROBE_TIMEOUT_MS) {
      this.#logger.warn({ silentMs: Math.round(silentMs) }, "subscription is silent, connecting anew");
      this.#subscriber.reconnect();
    }
    this.takeTicket();
  }

  /** Takes a ticket now: commands have become possible, or the subscription is new. */
  takeTicket(): void {
    this.#tickets.take().catch((error: unknown) => this.#logger.debug({ err: error }, "ticket not taken"));
  }
}
