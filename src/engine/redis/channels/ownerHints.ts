/** Channels that are remembered. */
const MAX_CHANNELS = 100_000;

/**
 * Which event a channel was last seen to belong to. It may have moved since, so this is of use only to those whom the
 * store corrects: it spares them the question, which is as dear as the step itself.
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
