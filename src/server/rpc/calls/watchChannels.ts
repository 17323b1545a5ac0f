import type { WatchChannelsRequest } from "../../../../gen/squelch/v1/channel_service_pb.js";
import { invalidField } from "../../../domain/errors.js";
import type { EventFeed } from "../../feed/eventFeed.js";
import type { Hub } from "../../feed/hub.js";
import { ChannelWatcher } from "../../feed/speakers/channelWatcher.js";
import type { WatchSink } from "../../feed/watcher.js";
import { parseCheckpointInterval, parseIds } from "./convert.js";
import { addEvents, MAX_WATCHED_EVENTS, type OpenWatch } from "./watch.js";

/** Delivers the speakers of some events to one stream. */
export interface SpeakersWatch {
  /** Adds an event that is loaded. Rejects with `unavailable` if its speakers cannot be read. Does nothing once closed. */
  add(eventId: string): Promise<void>;
  /** Begins to send checkpoints. Call it once, after all events were added. */
  start(intervalMs: number): void;
  /** Ends the delivery. Idempotent. */
  close(): void;
}

/**
 * @param sink receives frames of WatchChannelsResponses
 * @param withCheckpoints whether `start` may be called
 */
export function watchSpeakers(hub: Hub, sink: WatchSink, withCheckpoints = false): SpeakersWatch {
  const watcher = new ChannelWatcher(sink, withCheckpoints ? () => hub.health : undefined);
  let isClosed = false;
  return {
    async add(eventId) {
      if (isClosed) return;
      const speakers = await hub.speakers.acquire(eventId);
      if (isClosed) hub.speakers.release(speakers);
      else watcher.add(speakers);
    },
    start: (intervalMs) => watcher.start(intervalMs),
    close() {
      if (isClosed) return;
      isClosed = true;
      for (const speakers of watcher.events) hub.speakers.release(speakers);
      watcher.close();
    },
  };
}

/**
 * Opens a watch of the speakers of some events. Its messages go to `sink`.
 *
 * @throws SquelchError `invalidArgument`
 */
export function openWatchChannels(hub: Hub, request: WatchChannelsRequest, sink: WatchSink): OpenWatch {
  const eventIds = parseIds("event_ids", request.eventIds, MAX_WATCHED_EVENTS);
  if (eventIds.length === 0) throw invalidField("event_ids", "must name at least one event");

  const intervalMs = parseCheckpointInterval(request.checkpointInterval);
  const speakers = watchSpeakers(hub, sink, true);
  // The feeds stay loaded, because a loaded event has its expired leases announced.
  const feeds: EventFeed[] = [];
  let isClosed = false;

  async function add(eventId: string): Promise<void> {
    if (isClosed) return;
    const feed = await hub.acquire(eventId);
    if (isClosed) return hub.release(feed);
    feeds.push(feed);
    await speakers.add(eventId);
  }

  return {
    opened: addEvents(eventIds, add).then(() => speakers.start(intervalMs)),
    close() {
      if (isClosed) return;
      isClosed = true;
      speakers.close();
      for (const feed of feeds) hub.release(feed);
    },
  };
}
