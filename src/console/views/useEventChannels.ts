import { useEffect, useMemo, useState } from "preact/hooks";
import { sortIds } from "../model/search.js";
import { useConsole, useLive } from "./console.js";

/** How often the index is asked for channels that nobody has and nobody speaks on, ms. */
const INDEX_INTERVAL_MS = 15_000;

/** The channels of an event: those of its index, of its users and of its speakers. */
export function useEventChannels(eventId: string): string[] {
  const { feed, session } = useConsole();
  const [indexed, setIndexed] = useState<readonly string[]>([]);
  const isOpen = useLive((console) => console.feed.link.state === "open");
  useEffect(() => {
    const stop = new AbortController();
    const read = async () => {
      try {
        setIndexed((await session.channels.listEventChannels({ eventId }, { signal: stop.signal })).channelIds);
      } catch {
        // What the stream tells is shown meanwhile, and the status bar says whether that is live.
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
  }, [session, eventId, isOpen]);
  useEffect(() => setIndexed([]), [eventId]);

  const event = feed.picture.events.get(eventId);
  const usersVersion = useLive((console) => console.feed.picture.events.get(eventId)?.usersVersion);
  const floorVersion = useLive((console) => console.feed.picture.events.get(eventId)?.floorVersion);
  return useMemo(() => {
    const ids = new Set(indexed);
    for (const channelIds of event?.users.values() ?? []) for (const channelId of channelIds) ids.add(channelId);
    for (const channelId of event?.speakers.keys() ?? []) ids.add(channelId);
    return sortIds(ids);
  }, [event, indexed, usersVersion, floorVersion]);
}
