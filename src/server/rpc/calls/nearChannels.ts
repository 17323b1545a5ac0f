import { isUnavailable, SquelchError } from "../../../domain/errors.js";
import { type Identity, mayAccess } from "../../../domain/identity.js";
import { unknownChannel } from "../../../domain/membership.js";
import type { Engine } from "../../../domain/ports/engine.js";
import { nearTexts } from "../../../lib/nearTexts.js";

/** The most near ids that an error names. */
const MAX_NEAR = 3;
/** The most events whose channels are compared, and the most channels in all. */
const MAX_EVENTS = 100;
const MAX_CHANNELS = 2_000;
/** How long the list of channels is used before it is read again, ms. */
const LIST_AGE_MS = 5_000;

interface OwnedChannel {
  channelId: string;
  eventId: string;
}

/**
 * Adds ids that are like the given one to the error for a channel that belongs to no event. It compares at most 2,000
 * channels, which it reads at most once in 5 s, so that routers may ask for unknown channels often.
 */
export class NearChannels {
  readonly #engine: Pick<Engine, "listEvents" | "listEventChannels">;
  #list: Promise<readonly OwnedChannel[]> = Promise.resolve([]);
  #readAtMs = Number.NEGATIVE_INFINITY;

  constructor(engine: Pick<Engine, "listEvents" | "listEventChannels">) {
    this.#engine = engine;
  }

  /** Runs a call about a channel. Names near channels of events that the caller may access if the channel is unknown. */
  async name<T>(channelId: string, identity: Identity, call: () => Promise<T>): Promise<T> {
    try {
      return await call();
    } catch (error) {
      const isUnknown = error instanceof SquelchError && error.reason === "UNKNOWN_CHANNEL";
      throw isUnknown ? unknownChannel(channelId, await this.#find(channelId, identity)) : error;
    }
  }

  async #find(channelId: string, identity: Identity): Promise<string[]> {
    const visible = (await this.#read()).filter(({ eventId }) => mayAccess(identity, eventId));
    return nearTexts(
      channelId,
      visible.map((channel) => channel.channelId),
      MAX_NEAR,
    );
  }

  #read(): Promise<readonly OwnedChannel[]> {
    if (performance.now() - this.#readAtMs < LIST_AGE_MS) return this.#list;
    this.#readAtMs = performance.now();
    this.#list = this.#readAll().catch((error: unknown) => {
      // The error names no near channels then. That the channel is unknown is certain all the same.
      if (isUnavailable(error)) return [];
      throw error;
    });
    return this.#list;
  }

  async #readAll(): Promise<OwnedChannel[]> {
    const events = (await this.#engine.listEvents()).slice(0, MAX_EVENTS);
    const lists = await Promise.all(
      events.map(async (eventId) => {
        const channelIds = await this.#engine.listEventChannels(eventId);
        return channelIds.map((channelId) => ({ channelId, eventId }));
      }),
    );
    return lists.flat().slice(0, MAX_CHANNELS);
  }
}
