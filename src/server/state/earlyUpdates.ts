import type { MembershipUpdate } from "../../domain/ports/membershipStore.js";

/** The most users, counted for each event, with a stored update. */
const MAX_USERS = 10_000;

/** An update that arrived before the first ticket of a subscription, so it has no position yet. */
export interface EarlyUpdate {
  eventId: string;
  update: Pick<MembershipUpdate, "userId" | "channelIds" | "action">;
  /** True if the control plane's Redis rejected writes when the update arrived. */
  isUnderRefusal: boolean;
}

/**
 * Keeps the newest update of each user of an event until the first ticket of the subscription gives it a position. Redis
 * may reject tickets for a long time after the subscription was opened.
 */
export class EarlyUpdates {
  readonly #updates = new Map<string, EarlyUpdate>();

  get size(): number {
    return this.#updates.size;
  }

  /** Stores an update. Returns false if the oldest update was dropped because too many wait. */
  add(early: EarlyUpdate): boolean {
    const key = `${early.eventId} ${early.update.userId}`;
    this.#updates.delete(key);
    this.#updates.set(key, early);
    const [oldest] = this.#updates.keys();
    if (this.#updates.size <= MAX_USERS || oldest === undefined) return true;
    this.#updates.delete(oldest);
    return false;
  }

  /** Returns all updates in their order of arrival, and removes them. */
  take(): EarlyUpdate[] {
    const updates = [...this.#updates.values()];
    this.#updates.clear();
    return updates;
  }
}
