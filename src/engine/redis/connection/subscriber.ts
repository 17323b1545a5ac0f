import type { Redis } from "ioredis";
import type { Unsubscribe } from "../../../domain/ports/unsubscribe.js";
import type { Logger } from "../../../lib/logger.js";
import { toStoreError } from "./connections.js";

export type MessageListener = (message: Buffer) => void;

/** Receives changes in the state of the subscription connection. */
export interface SubscriberListener {
  /** Called when the connection breaks: messages may be missing from now on. */
  interrupted?(): void;
  /** Called when all channels are subscribed, after the first connect or after an interruption. */
  restored?(): void;
}

/**
 * All subscriptions of a process on one connection, so that Redis delivers the messages of all channels in one order.
 * When the connection returns after an interruption, all channels are subscribed again.
 */
export class Subscriber {
  readonly #connection: Redis;
  readonly #logger: Logger;
  readonly #channels = new Map<string, Set<MessageListener>>();
  readonly #listeners = new Set<SubscriberListener>();
  #connected = false;

  constructor(connection: Redis, logger: Logger) {
    this.#connection = connection;
    this.#logger = logger;
    connection.on("ready", () => void this.#resubscribe());
    connection.on("close", () => this.#interrupt());
    connection.on("messageBuffer", (channel: Buffer, message: Buffer) => this.#deliver(channel.toString(), message));
  }

  /** True while every channel is subscribed. */
  get isConnected(): boolean {
    return this.#connected;
  }

  listen(listener: SubscriberListener): Unsubscribe {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Delivers each message of a channel to `listener`. Resolves when Redis has confirmed the subscription. Rejects with
   * `unavailable` if Redis has not confirmed it; the listener is removed then.
   */
  async subscribe(channel: string, listener: MessageListener): Promise<Unsubscribe> {
    const unsubscribe = this.#register(channel, listener);
    try {
      await this.#connection.subscribe(channel);
      return unsubscribe;
    } catch (error) {
      unsubscribe();
      throw toStoreError(error);
    }
  }

  /**
   * Delivers each message of a channel to a listener without waiting: the channel is subscribed as soon as there is a
   * connection.
   */
  subscribeWhenConnected(channel: string, listener: MessageListener): Unsubscribe {
    const unsubscribe = this.#register(channel, listener);
    // If this fails, the connection is reopened and every channel is subscribed again.
    if (this.#connected) this.#connection.subscribe(channel).catch(() => this.reconnect());
    return unsubscribe;
  }

  /** Closes the connection and opens a new one. Use it for a connection that seems open but delivers nothing. */
  reconnect(): void {
    this.#connection.disconnect(true);
  }

  #register(channel: string, listener: MessageListener): Unsubscribe {
    const listeners = this.#channels.get(channel) ?? new Set();
    this.#channels.set(channel, listeners.add(listener));
    return () => {
      if (!listeners.delete(listener) || listeners.size > 0 || this.#channels.get(channel) !== listeners) return;
      this.#channels.delete(channel);
      // A connection that is down has no subscription to end.
      this.#connection.unsubscribe(channel).catch(() => undefined);
    };
  }

  async #resubscribe(): Promise<void> {
    try {
      const channels = [...this.#channels.keys()];
      if (channels.length > 0) await this.#connection.subscribe(...channels);
    } catch (error) {
      this.#logger.warn({ err: error }, "subscription failed, reconnecting");
      this.reconnect();
      return;
    }
    this.#connected = true;
    for (const listener of this.#listeners) listener.restored?.();
  }

  #interrupt(): void {
    if (!this.#connected) return;
    this.#connected = false;
    for (const listener of this.#listeners) listener.interrupted?.();
  }

  #deliver(channel: string, message: Buffer): void {
    for (const listener of this.#channels.get(channel) ?? []) {
      try {
        listener(message);
      } catch (error) {
        this.#logger.error({ err: error, channel }, "a listener failed");
      }
    }
  }
}
