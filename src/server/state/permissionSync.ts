import type { Position } from "../../domain/cursor.js";
import { SquelchError } from "../../domain/errors.js";
import { checkOptions, LOGGER, OBJECT, type OptionRules, TEXT } from "../../domain/options.js";
import { Connections } from "../../engine/redis/connection/connections.js";
import { Subscriber } from "../../engine/redis/connection/subscriber.js";
import { INGEST, MEMBERSHIP_UPDATES } from "../../engine/redis/keys.js";
import { createLogger, type Logger } from "../../lib/logger.js";
import { redisFromEnvironment } from "../config.js";
import { parseMembershipUpdate } from "./membershipUpdate.js";

/**
 * Called for each update, in the order of publication.
 *
 * @param newChannelIds all channels of the user in the event, ascending; empty if all were revoked
 * @param position the update's position in the order of all writes; undefined before the first ticket of a connection
 */
export type PermissionChangeHandler = (
  userId: string,
  eventId: string,
  newChannelIds: string[],
  action: string,
  position: Position | undefined,
) => void;

export interface PermissionSyncOptions {
  /**
   * The URL of the Redis or Sentinel group to which the control plane publishes. Default: SQUELCH_INGEST_REDIS_URL,
   * then SQUELCH_REDIS_URL.
   */
  redisUrl?: string;
  logger?: Logger;
  /** An existing subscriber to use. This class neither connects nor closes it. */
  subscriber?: Subscriber;
  /** Receives each ticket, in its order among the updates, and each break of the subscription. */
  observer?: { acceptTicket(generation: number): void; interrupt(): void };
}

const OPTION_RULES: OptionRules<PermissionSyncOptions> = {
  redisUrl: TEXT,
  logger: LOGGER,
  subscriber: OBJECT,
  observer: OBJECT,
};

/**
 * Subscribes to `vp:membership_updates`. A failed connection, including the first, is retried without limit after 1, 2,
 * 4, 8, 16 and 30 s, each with jitter. A connection that recovers by itself is kept. A malformed message is logged,
 * counted and skipped.
 *
 * @example
 * const sync = new PermissionSyncManager((userId, eventId, channelIds) => apply(userId, eventId, channelIds));
 * await sync.start();
 */
export class PermissionSyncManager {
  readonly #onPermissionChange: PermissionChangeHandler;
  readonly #logger: Logger;
  readonly #connections: Connections | undefined;
  readonly #subscriber: Subscriber;
  readonly #observer: PermissionSyncOptions["observer"];
  readonly #stop: (() => void)[] = [];
  #generation: number | undefined;
  #messagesSinceTicket = 0;
  #malformedCount = 0;

  /** @throws SquelchError `invalidArgument` if the handler or an option is missing, unknown or not valid */
  constructor(onPermissionChange: PermissionChangeHandler, options: PermissionSyncOptions = {}) {
    if (typeof onPermissionChange !== "function") {
      throw new SquelchError("invalidArgument", "onPermissionChange: must be a function");
    }
    checkOptions("PermissionSyncManager", options, OPTION_RULES);
    this.#onPermissionChange = onPermissionChange;
    this.#logger = options.logger ?? createLogger("PermissionSync");
    this.#observer = options.observer;
    if (options.subscriber === undefined) {
      const { ingestRedisUrl, redisUrl } = redisFromEnvironment(options.redisUrl);
      this.#connections = new Connections(options.redisUrl ?? ingestRedisUrl ?? redisUrl, this.#logger);
      if (this.#connections.topology === "cluster") {
        throw new SquelchError(
          "invalidArgument",
          "redisUrl: must name a single server or Sentinel, because a Cluster does not deliver messages in order",
        );
      }
      this.#subscriber = new Subscriber(this.#connections.subscriptions, this.#logger);
    } else {
      this.#subscriber = options.subscriber;
    }
  }

  /** The number of malformed messages. */
  get malformedCount(): number {
    return this.#malformedCount;
  }

  /**
   * Resolves when the first attempt to connect has ended, successful or not, after 5 s at the latest; `isConnected`
   * then returns the result. Rejects with `invalidArgument` if Redis was reached but does not fit its URL, for example
   * because it does not have the database. Attempts continue until `stop`. Idempotent while started.
   */
  async start(): Promise<void> {
    if (this.#stop.length > 0) return;
    this.#stop.push(
      this.#subscriber.subscribeWhenConnected(MEMBERSHIP_UPDATES, (message) => this.#receive(message)),
      this.#subscriber.subscribeWhenConnected(INGEST, (ticket) => this.#receiveTicket(Number(ticket.toString()))),
      this.#subscriber.listen({
        interrupted: () => {
          this.#generation = undefined;
          this.#observer?.interrupt();
        },
      }),
    );
    await this.#connections?.startSubscriptions();
  }

  /** Stops the subscription. No callback is called after that. Idempotent. */
  async stop(): Promise<void> {
    for (const stop of this.#stop.splice(0)) stop();
    this.#connections?.close();
  }

  /** Returns true while updates arrive. */
  isConnected(): boolean {
    return this.#stop.length > 0 && this.#subscriber.isConnected;
  }

  #receiveTicket(generation: number): void {
    if (!Number.isSafeInteger(generation)) {
      this.#logger.warn("a message on the channel of tickets is not a ticket");
      return;
    }
    this.#generation = generation;
    this.#messagesSinceTicket = 0;
    this.#observer?.acceptTicket(generation);
  }

  #receive(message: Buffer): void {
    // Malformed messages count too, so that all replicas derive the same positions.
    const count = ++this.#messagesSinceTicket;
    const position = this.#generation === undefined ? undefined : { generation: this.#generation, count };
    let update: ReturnType<typeof parseMembershipUpdate>;
    try {
      update = parseMembershipUpdate(message);
    } catch (error) {
      this.#malformedCount++;
      this.#logger.warn({ err: error, bytes: message.length }, "malformed membership update skipped");
      return;
    }
    const { userId, eventId, channelIds, action } = update;
    this.#logger.debug({ userId, eventId, action, channels: channelIds.length }, "membership update");
    this.#onPermissionChange(userId, eventId, channelIds, action, position);
  }
}
