import type { MembershipUpdate } from "../../domain/ports/membershipStore.js";

/** The most users of events of whom an update is kept. */
const MAX_USERS = 10_000;

/** An update that came before the first ticket of a subscription, so that it has no position yet. */
export interface EarlyUpdate {
  eventId: string;
  update: Pick<MembershipUpdate, "userId" | "channelIds" | "action">;
  /** True if the control plane's Redis rejected writes when it came. */
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

  /** Keeps an update. Returns false if the oldest update was dropped because too many wait. */
  add(early: EarlyUpdate): boolean {
    const key = `${early.eventId} ${early.update.userId}`;
    this.#updates.delete(key);
    this.#updates.set(key, early);
    const [oldest] = this.#updates.keys();
    if (this.#updates.size <= MAX_USERS || oldest === undefined) return true;
    this.#updates.delete(oldest);
    return false;
  }

  /** Returns all updates, in the order in which they came, and forgets them. */
  take(): EarlyUpdate[] {
    const updates = [...this.#updates.values()];
    this.#updates.clear();
    return updates;
  }
}
