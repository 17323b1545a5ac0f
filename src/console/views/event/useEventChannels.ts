import { useEffect, useMemo } from "preact/hooks";
import { readAllPages } from "../../../wire/allPages.js";
import { sortIds } from "../../model/search.js";
import { useConsole, useLive } from "../console.js";

/** The time between two reads of the channel list, ms. It finds channels without users and speakers. */
const INDEX_INTERVAL_MS = 15_000;

/** Returns the channels of an event, sorted: those of its channel list and those that the stream names. */
export function useEventChannels(eventId: string): string[] {
  const { feed, session, ticker } = useConsole();
  const isOpen = useLive((console) => console.feed.isHealthy === true);
  useEffect(() => {
    const stop = new AbortController();
    const read = async () => {
      const event = feed.picture.events.get(eventId);
      if (event === undefined) return;
      const askedAt = event.revision;
      try {
        const channelIds = await readAllPages(async (page) => {
          const answer = await session.channels.listEventChannels({ eventId, ...page }, { signal: stop.signal });
          return { items: answer.channelIds, nextPageToken: answer.nextPageToken };
        });
        event.takeIndex(channelIds, askedAt);
        ticker.mark();
      } catch {
        // After a failed read the page shows the channels of the stream. The status bar shows if the stream is live.
      }
    };
    if (isOpen) void read();
    const timer = setInterval(() => {
      if (isOpen && !document.hidden) void read();
    }, INDEX_INTERVAL_MS);
    return () => {
      stop.abort();
      clearInterval(timer);
    };
  }, [session, feed, ticker, eventId, isOpen]);

  const event = feed.picture.events.get(eventId);
  const version = useLive((console) => console.feed.picture.events.get(eventId)?.channelsVersion);
  return useMemo(() => sortIds(event?.channels.keys() ?? []), [event, version]);
}
