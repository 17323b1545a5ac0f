import { useEffect, useMemo } from "preact/hooks";
import { sortIds } from "../../model/search.js";
import { useConsole, useLive } from "../console.js";

/** How often the index is asked for channels that nobody has and nobody speaks on, ms. */
const INDEX_INTERVAL_MS = 15_000;

/** The channels of an event, in order: those of its index, and those that the stream names. */
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
        const { channelIds } = await session.channels.listEventChannels({ eventId }, { signal: stop.signal });
        event.takeIndex(channelIds, askedAt);
        ticker.mark();
      } catch {
        // What the stream names is shown meanwhile, and the status bar says whether that is live.
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
