import type { WatchPermissionsRequest } from "../../../../gen/squelch/v1/permission_service_pb.js";
import { isUnavailable } from "../../../domain/errors.js";
import { MAX_ID_BYTES } from "../../../domain/id.js";
import { mayAccess } from "../../../domain/identity.js";
import type { Unsubscribe } from "../../../domain/ports/unsubscribe.js";
import type { Hub } from "../../feed/hub.js";
import { shareSink } from "../../feed/sharedSink.js";
import { Watcher, type WatchSink } from "../../feed/watcher.js";
import { encodeSpeakers } from "../../feed/wire/encode.js";
import { messagesOf } from "../../feed/wire/frame.js";
import type { CallContext } from "../callContext.js";
import { parseCheckpointInterval, parseCursors, parseIds, parseText } from "./convert.js";
import { addEvents, MAX_WATCHED_EVENTS, type OpenWatch } from "./watch.js";
import { watchSpeakers } from "./watchChannels.js";

const MAX_WATCHED_USERS = 10_000;

/**
 * Opens a watch of permissions. Without event ids it watches all events that the caller may see. Its messages go to `sink`.
 *
 * @param fail called if an open watch cannot continue
 * @throws SquelchError `invalidArgument`
 */
export function openWatchPermissions(
  hub: Hub,
  request: WatchPermissionsRequest,
  { identity }: CallContext,
  sink: WatchSink,
  fail: (error: unknown) => void,
): OpenWatch {
  const eventIds = parseIds("event_ids", request.eventIds, MAX_WATCHED_EVENTS);
  const userIds = parseIds("user_ids", request.userIds, MAX_WATCHED_USERS);
  const cursors = parseCursors("cursors", request.cursors);
  const routerId = parseText("router_id", request.routerId, MAX_ID_BYTES);
  const intervalMs = parseCheckpointInterval(request.checkpointInterval);

  const { counts } = hub;
  counts.watchers++;
  const sharedSink = request.withSpeakers ? shareSink(sink) : sink;
  const watcherSink: WatchSink = {
    write(frame, done) {
      counts.deliveries++;
      sharedSink.write(frame, done);
    },
  };
  const speakersSink: WatchSink = {
    write(frames, done) {
      const messages = messagesOf(frames);
      counts.deliveries += messages.length;
      sharedSink.write(Buffer.concat(messages.map(encodeSpeakers)), done);
    },
  };
  const watcher = new Watcher(
    watcherSink,
    userIds.length > 0 ? new Set(userIds) : undefined,
    intervalMs,
    () => hub.health,
  );
  const speakers = request.withSpeakers ? watchSpeakers(hub, speakersSink) : undefined;
  const adding = new Map<string, Promise<void>>();
  /** The events in which this router is present. */
  const present: string[] = [];
  let isClosed = false;
  let unfollow: Unsubscribe | undefined;

  async function add(eventId: string): Promise<void> {
    if (isClosed) return;
    const feed = await hub.acquire(eventId);
    try {
      if (routerId !== "" && !isClosed) await enter(eventId);
      const cursor = cursors.get(eventId);
      if (cursor !== undefined && !feed.reachesBackTo(cursor)) await feed.reachFor(cursor);
      await speakers?.add(eventId);
      if (isClosed) {
        hub.release(feed);
        return;
      }
      if (cursor !== undefined && feed.reachesBackTo(cursor)) counts.resumes++;
      watcher.add(feed, cursor);
    } catch (error) {
      hub.release(feed);
      throw error;
    }
  }

  // AwaitApplied has to wait for this router from the first message on, so the store must know the router before it. While the
  // store cannot be reached, the watch does not wait for that.
  async function enter(eventId: string): Promise<void> {
    const entered = hub.presence.enter(routerId, eventId);
    present.push(eventId);
    if (hub.health.healthy) await entered;
  }

  function addOnce(eventId: string): Promise<void> {
    const added = adding.get(eventId) ?? add(eventId);
    adding.set(eventId, added);
    return added;
  }

  // In a watch of all events, an event that can never be loaded must not end the watch of the others.
  async function addOneOfAll(eventId: string): Promise<void> {
    try {
      await addOnce(eventId);
    } catch (error) {
      if (isUnavailable(error)) throw error;
      adding.delete(eventId);
      hub.logger.error({ err: error, eventId }, "event left out of a watch of all events");
    }
  }

  async function openAll(): Promise<void> {
    const found: string[] = [];
    let isOpen = false;
    unfollow = await hub.followEvents((eventId) => {
      if (!mayAccess(identity, eventId)) return;
      if (isOpen) addOneOfAll(eventId).catch(fail);
      else found.push(eventId);
    });
    if (isClosed) unfollow();
    await addEvents(found, addOneOfAll);
    isOpen = true;
    // Adds the events that were created in the meantime.
    await addEvents(found, addOneOfAll);
  }

  async function open(): Promise<void> {
    if (eventIds.length > 0) await addEvents(eventIds, addOnce);
    else await openAll();
    if (!isClosed) watcher.start();
  }

  return {
    opened: open(),
    close() {
      if (isClosed) return;
      isClosed = true;
      counts.watchers--;
      unfollow?.();
      for (const feed of watcher.feeds) hub.release(feed);
      for (const eventId of present) hub.presence.leave(routerId, eventId);
      watcher.close();
      speakers?.close();
    },
  };
}
