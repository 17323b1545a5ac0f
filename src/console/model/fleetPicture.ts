import type { Checkpoint, Cursor } from "../../../gen/squelch/v1/model_pb.js";
import type { EventChanges, WatchPermissionsResponse } from "../../../gen/squelch/v1/permission_service_pb.js";
import { type Activity, toActivity } from "./activity.js";
import { EventPicture } from "./eventPicture.js";

/** The number of newest changes that the page keeps. */
const MAX_ACTIVITY = 200;

/** The state of all events, built from the messages of the stream. */
export class FleetPicture {
  readonly events = new Map<string, EventPicture>();
  /** The newest changes of all events, newest first. */
  activity: readonly Activity[] = [];
  /** Increases with every new event. */
  eventsVersion = 0;

  /** Adds a message of the stream. Returns the checkpoint if the message is one. */
  take({ payload }: WatchPermissionsResponse): Checkpoint | undefined {
    switch (payload.case) {
      case "snapshot":
        this.#open(payload.value.eventId).takeSnapshot(payload.value);
        return undefined;
      case "changes":
        this.#takeChanges(payload.value);
        return undefined;
      case "speakers":
        this.#open(payload.value.eventId).takeSpeakers(payload.value);
        return undefined;
      case "checkpoint":
        return payload.value;
      case undefined:
        // A payload that a newer replica has added.
        return undefined;
    }
  }

  /** Returns the cursors for a new stream. Call it once for each stream. */
  resume(): Pick<Cursor, "eventId" | "epoch" | "revision">[] {
    const known = [...this.events.values()];
    for (const event of known) event.dropChunks();
    return known.filter(({ isKnown }) => isKnown).map(({ eventId, epoch, revision }) => ({ eventId, epoch, revision }));
  }

  #open(eventId: string): EventPicture {
    const known = this.events.get(eventId);
    if (known !== undefined) return known;
    const event = new EventPicture(eventId);
    this.events.set(eventId, event);
    this.eventsVersion++;
    return event;
  }

  #takeChanges({ eventId, epoch, changes }: EventChanges): void {
    const event = this.#open(eventId);
    for (const change of changes) event.takeChange(change);
    const described = changes.slice(-MAX_ACTIVITY).flatMap((change) => toActivity(eventId, epoch, change) ?? []);
    this.activity = [...described.reverse(), ...this.activity].slice(0, MAX_ACTIVITY);
  }
}
