/** The most channels that are remembered. */
const MAX_CHANNELS = 100_000;

/**
 * Remembers the event to which each channel last belonged. The channel may have moved since, so use it only where the
 * store corrects a wrong event. It saves a read of the owner, which would cost as much as the step itself.
 */
export class OwnerHints {
  readonly #events = new Map<string, string>();

  of(channelId: string): string | undefined {
    return this.#events.get(channelId);
  }

  note(channelId: string, eventId: string): void {
    if (this.#events.size >= MAX_CHANNELS) this.#events.clear();
    this.#events.set(channelId, eventId);
  }

  forget(channelId: string): void {
    this.#events.delete(channelId);
  }
}
