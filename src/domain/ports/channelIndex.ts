/** Which event owns each channel. */
export interface ChannelIndex {
  /**
   * Associates a channel with an event on behalf of `actor`. Moves the channel if another event owned it, and returns that
   * event. With `onlyIfUnassigned`, rejects with `failedPrecondition` instead of moving.
   */
  setChannelEvent(
    channelId: string,
    eventId: string,
    actor: string,
    onlyIfUnassigned: boolean,
  ): Promise<string | undefined>;
  /** Returns the event that owns a channel. */
  getChannelEvent(channelId: string): Promise<string | undefined>;
  /** Returns the event's channel ids, ascending. */
  listEventChannels(eventId: string): Promise<string[]>;
}
