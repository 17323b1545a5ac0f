import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { WatchChannelsResponseSchema } from "../../../gen/squelch/v1/channel_service_pb.js";
import type { EventSpeakers, SpeakersReader } from "./eventSpeakers.js";
import { toFrame } from "./frame.js";
import { toSpeakerFields } from "./messages.js";
import type { WatchSink } from "./watcher.js";

/** What one event has for the stream. */
interface Place {
  speakers: EventSpeakers;
  reader: SpeakersReader;
  isSnapshotDue: boolean;
  /** Channels whose speaker has changed since it was told. */
  changed: Set<string>;
}

/**
 * One WatchChannels stream. At most one message is outstanding; what changes meanwhile is noted by channel, so that a
 * slow reader gets the latest state of each and costs no more than the event has channels.
 */
export class ChannelWatcher {
  readonly #sink: WatchSink;
  readonly #places = new Map<string, Place>();
  /** Those that have something to tell, in turn. */
  readonly #pending = new Set<Place>();
  #isWriting = false;
  #isOpen = true;

  constructor(sink: WatchSink) {
    this.#sink = sink;
  }

  get events(): EventSpeakers[] {
    return [...this.#places.values()].map(({ speakers }) => speakers);
  }

  /** Adds an event; its snapshot comes first. */
  add(speakers: EventSpeakers): void {
    const tell = () => {
      this.#pending.add(place);
      this.#pump();
    };
    const reader = {
      onFloorChanged: (channelId: string) => {
        place.changed.add(channelId);
        tell();
      },
      onFloorsReset: () => {
        place.isSnapshotDue = true;
        tell();
      },
    };
    const place: Place = { speakers, reader, isSnapshotDue: true, changed: new Set() };
    this.#places.set(speakers.eventId, place);
    speakers.addReader(reader);
    tell();
  }

  /** Ends the watch; nothing is written any more. Idempotent. */
  close(): void {
    this.#isOpen = false;
    for (const { speakers, reader } of this.#places.values()) speakers.removeReader(reader);
    this.#places.clear();
    this.#pending.clear();
  }

  #pump(): void {
    if (this.#isWriting || !this.#isOpen) return;
    const [place] = this.#pending;
    if (place === undefined) return;
    this.#pending.delete(place);
    const frame = takeFrame(place);
    if (place.changed.size > 0) this.#pending.add(place);
    this.#isWriting = true;
    this.#sink.write(frame, () => {
      this.#isWriting = false;
      this.#pump();
    });
  }
}

// Of a place that has something to tell.
function takeFrame(place: Place): Buffer {
  const { eventId, speakers, timeMs } = place.speakers;
  if (place.isSnapshotDue) {
    place.isSnapshotDue = false;
    place.changed.clear();
    const snapshot = { speakers: speakers.map(toSpeakerFields) };
    return encode({ eventId, snapshot, time: timestampFromMs(timeMs) });
  }
  const [channelId = ""] = place.changed;
  place.changed.delete(channelId);
  const floor = place.speakers.floorOf(channelId);
  const holder = floor.holder && { holder: toSpeakerFields(floor.holder) };
  return encode({ eventId, channelId, ...holder, time: timestampFromMs(floor.timeMs) });
}

function encode(message: MessageInitShape<typeof WatchChannelsResponseSchema>): Buffer {
  return toFrame(toBinary(WatchChannelsResponseSchema, create(WatchChannelsResponseSchema, message)));
}
