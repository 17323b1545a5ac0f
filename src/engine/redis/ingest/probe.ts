import type { FeedHealth } from "../../../domain/ports/engine.js";
import type { Unsubscribe } from "../../../domain/ports/unsubscribe.js";
import type { Logger } from "../../../lib/logger.js";
import { type ErrorReply, errorReplyOf } from "../connection/errorReplies.js";
import type { Subscriber } from "../connection/subscriber.js";
import { INGEST } from "../keys.js";
import type { Tickets } from "./tickets.js";

/** The interval between probes, ms. */
const PROBE_INTERVAL_MS = 2_000;
/** The interval between probes while Redis rejects them, and the shortest interval after rejected commands, ms. */
const REFUSED_INTERVAL_MS = 500;
/** After this long without a successful probe the feed is unhealthy, and a silent subscription is reopened, ms. */
const PROBE_TIMEOUT_MS = 3 * PROBE_INTERVAL_MS;
/** The shortest time between two log entries about an unknown error reply, ms. */
const UNKNOWN_LOG_INTERVAL_MS = 10_000;

/**
 * Proves every 2 s that Redis accepts this replica's writes, and that published messages arrive here: it takes a
 * ticket, makes a write of each kind, and waits for its own ticket on the subscription. Tickets of other replicas prove
 * nothing, because they may have been replicated from another server. A subscription that stays silent is reopened.
 */
export class Probe {
  /** How often Redis began to reject the writes of this replica, by the code of the error reply. */
  readonly counts = new Map<string, number>();
  readonly #tickets: Tickets;
  readonly #proveWrites: () => Promise<unknown>;
  readonly #subscriber: Subscriber;
  readonly #logger: Logger;
  readonly #stop: (() => void)[] = [];
  readonly #acceptedListeners = new Set<() => void>();
  /** This replica's tickets that have not come back yet. */
  readonly #awaited = new Set<number>();
  /**
   * Tickets that arrived while this replica was taking one: its own ticket may arrive before the answer of the script.
   */
  readonly #early = new Set<number>();
  #taking = 0;
  #timer: NodeJS.Timeout | undefined;
  #probes = 0;
  #judgedProbe = 0;
  #probedMs = Number.NEGATIVE_INFINITY;
  #openedMs = 0;
  #lastReturnMs: number | undefined;
  #lastAcceptedMs: number | undefined;
  #refusal: { reply: ErrorReply; sinceMs: number } | undefined;
  /** Explains in plain text why the newest probe failed. */
  #failure: string | undefined;
  #unknownQuietUntilMs = 0;

  /** @param proveWrites makes a write of each kind that this Redis has to accept; rejects with `unavailable` */
  constructor(tickets: Tickets, proveWrites: () => Promise<unknown>, subscriber: Subscriber, logger: Logger) {
    this.#tickets = tickets;
    this.#proveWrites = proveWrites;
    this.#subscriber = subscriber;
    this.#logger = logger;
  }

  start(): void {
    this.#stop.push(
      () => clearTimeout(this.#timer),
      this.#subscriber.subscribeWhenConnected(INGEST, (ticket) => this.#receive(Number(ticket.toString()))),
      this.#subscriber.listen({
        restored: () => {
          this.#openedMs = performance.now();
          this.probeNow();
        },
      }),
    );
    this.#plan(PROBE_INTERVAL_MS);
  }

  stop(): void {
    for (const stop of this.#stop.splice(0)) stop();
    this.#acceptedListeners.clear();
  }

  /** True while Redis answers this replica's own writes with an error. */
  get isRefused(): boolean {
    return this.#refusal !== undefined;
  }

  health(): FeedHealth {
    const now = performance.now();
    const age = (atMs: number | undefined) => (atMs === undefined ? Number.POSITIVE_INFINITY : now - atMs);
    const hasReturned = (this.#lastReturnMs ?? -1) >= this.#openedMs && age(this.#lastReturnMs) < PROBE_TIMEOUT_MS;
    const isAccepted = this.#refusal === undefined && age(this.#lastAcceptedMs) < PROBE_TIMEOUT_MS;
    const healthy = this.#subscriber.isConnected && hasReturned && isAccepted;
    return {
      healthy,
      ...(this.#lastReturnMs !== undefined && { ageMs: Math.round(now - this.#lastReturnMs) }),
      ...(!healthy && { problem: this.#problem() }),
    };
  }

  /** Calls back each time Redis accepts writes again after a period in which it rejected them. */
  onAccepted(listener: () => void): Unsubscribe {
    this.#acceptedListeners.add(listener);
    return () => this.#acceptedListeners.delete(listener);
  }

  /** Handles a failed command: if Redis answered it with an error, the next probe is made now. */
  suspect(error: unknown): void {
    const reply = errorReplyOf(error);
    if (reply === undefined) return;
    const now = performance.now();
    if (reply.code === "UNKNOWN" && now >= this.#unknownQuietUntilMs) {
      this.#unknownQuietUntilMs = now + UNKNOWN_LOG_INTERVAL_MS;
      this.#logger.warn({ err: error }, "redis gave an unknown error, the command will be retried");
    }
    if (reply.kind === "tryAgain" && now >= this.#probedMs + REFUSED_INTERVAL_MS) this.probeNow();
  }

  /** Makes a probe now, because commands have become possible or the subscription is new. */
  probeNow(): void {
    if (this.#stop.length > 0) void this.#probe();
  }

  #plan(waitMs: number): void {
    clearTimeout(this.#timer);
    if (this.#stop.length > 0) this.#timer = setTimeout(() => this.#tick(), waitMs);
  }

  #tick(): void {
    const silentMs = performance.now() - Math.max(this.#lastReturnMs ?? 0, this.#openedMs);
    // While Redis rejects tickets, no ticket can come back, so a new connection would not help.
    if (this.#subscriber.isConnected && silentMs > PROBE_TIMEOUT_MS && this.#refusal === undefined) {
      this.#logger.warn({ silentMs: Math.round(silentMs) }, "subscription is silent, reconnecting");
      this.#subscriber.reconnect();
    }
    this.probeNow();
  }

  async #probe(): Promise<void> {
    const probe = ++this.#probes;
    this.#probedMs = performance.now();
    this.#plan(this.#refusal === undefined ? PROBE_INTERVAL_MS : REFUSED_INTERVAL_MS);
    const results = await Promise.allSettled([this.#takeTicket(), this.#proveWrites()]);
    // A later probe has a newer result.
    if (probe < this.#judgedProbe || this.#stop.length === 0) return;
    this.#judgedProbe = probe;
    const errors = results.flatMap((result) => (result.status === "rejected" ? [result.reason as unknown] : []));
    const refused = errors.find((error) => errorReplyOf(error) !== undefined);
    const reply = errorReplyOf(refused);
    if (reply !== undefined) this.#noteRefusal(reply, refused);
    else if (errors.length === 0) this.#noteAcceptance();
    this.#failure = errors[0] instanceof Error ? errors[0].message : undefined;
    if (errors.length > 0) this.#logger.debug({ err: errors[0] }, "probe failed");
  }

  async #takeTicket(): Promise<void> {
    this.#taking++;
    try {
      const ticket = await this.#tickets.take();
      if (this.#early.has(ticket)) this.#lastReturnMs = performance.now();
      else this.#awaited.add(ticket);
    } finally {
      this.#taking--;
      if (this.#taking === 0) this.#early.clear();
    }
  }

  #receive(ticket: number): void {
    this.#tickets.note(ticket);
    if (this.#awaited.has(ticket)) {
      this.#lastReturnMs = performance.now();
      // Redis delivers tickets in their order. Older tickets that did not arrive were lost with an earlier
      // connection.
      for (const awaited of this.#awaited) if (awaited <= ticket) this.#awaited.delete(awaited);
    } else if (this.#taking > 0) this.#early.add(ticket);
  }

  #noteRefusal(reply: ErrorReply, error: unknown): void {
    if (this.#refusal === undefined) {
      this.counts.set(reply.code, (this.counts.get(reply.code) ?? 0) + 1);
      this.#logger.error({ code: reply.code, cause: reply.explanation, err: error }, "redis rejects writes");
    }
    this.#refusal = { reply, sinceMs: this.#refusal?.sinceMs ?? performance.now() };
    this.#plan(REFUSED_INTERVAL_MS);
  }

  #noteAcceptance(): void {
    this.#lastAcceptedMs = performance.now();
    if (this.#refusal === undefined) return;
    const refusedMs = Math.round(performance.now() - this.#refusal.sinceMs);
    this.#logger.warn({ cause: this.#refusal.reply.explanation, refusedMs }, "redis accepts writes again");
    this.#refusal = undefined;
    for (const listener of this.#acceptedListeners) listener();
  }

  #problem(): string {
    if (this.#refusal !== undefined) return this.#refusal.reply.explanation;
    if (this.#failure !== undefined) return this.#failure;
    if (!this.#subscriber.isConnected) return "the subscriptions to Redis are interrupted";
    return "it is not proven that changes from Redis arrive";
  }
}
