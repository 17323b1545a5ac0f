import type { WatchSink } from "../watcher.js";
import type { EventSpeakers, SpeakersReader } from "./eventSpeakers.js";

/** What is written at once, bytes: a pause changes thousands of channels, and a write for each takes longer than all else. */
const MAX_WRITE_BYTES = 16 << 10;

/** What one event has for the stream. */
interface Place {
  speakers: EventSpeakers;
  reader: SpeakersReader;
  isSnapshotDue: boolean;
  /** Channels whose speaker has changed since it was told. */
  changed: Set<string>;
}

/**
 * One WatchChannels stream. At most one write is outstanding; what changes meanwhile is noted by channel, so that a slow
 * reader gets the latest state of each and costs no more than the event has channels.
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
    if (this.#isWriting || !this.#isOpen || this.#pending.size === 0) return;
    this.#isWriting = true;
    this.#sink.write(this.#takeFrames(), () => {
      this.#isWriting = false;
      this.#pump();
    });
  }

  #takeFrames(): Buffer {
    const frames: Buffer[] = [];
    let bytes = 0;
    for (const place of this.#pending) {
      this.#pending.delete(place);
      while (bytes < MAX_WRITE_BYTES && hasNews(place)) {
        const frame = takeFrame(place);
        frames.push(frame);
        bytes += frame.length;
      }
      if (!hasNews(place)) continue;
      this.#pending.add(place);
      break;
    }
    return Buffer.concat(frames, bytes);
  }
}

function hasNews({ isSnapshotDue, changed }: Place): boolean {
  return isSnapshotDue || changed.size > 0;
}

// Of a place that has news.
function takeFrame(place: Place): Buffer {
  const { speakers, changed } = place;
  if (place.isSnapshotDue) {
    place.isSnapshotDue = false;
    changed.clear();
    return speakers.encodeAll();
  }
  const [channelId = ""] = changed;
  changed.delete(channelId);
  return speakers.encodeFloorOf(channelId);
}
