import type { FeedHealth } from "../../../domain/ports/engine.js";
import type { WatchSink } from "../watcher.js";
import { encodeSpeakersCheckpoint } from "../wire/encodeCheckpoint.js";
import type { EventSpeakers, SpeakersReader } from "./eventSpeakers.js";

/** The number of bytes that one write collects. A pause changes thousands of channels, and a write for each of them would be slow. */
const MAX_WRITE_BYTES = 16 << 10;

/** The progress of one event on the stream. */
interface Place {
  speakers: EventSpeakers;
  reader: SpeakersReader;
  isSnapshotDue: boolean;
  /** Channels with a speaker that the client has not received yet. */
  changed: Set<string>;
}

/**
 * One WatchChannels stream. At most one write is outstanding. Meanwhile it remembers which channels have changed, so a slow
 * client receives only the latest speaker of each, and needs no more memory than one entry per channel.
 */
export class ChannelWatcher {
  readonly #sink: WatchSink;
  readonly #places = new Map<string, Place>();
  /** Events with unsent changes. They take turns, in the order of this set. */
  readonly #pending = new Set<Place>();
  readonly #health: (() => FeedHealth) | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isCheckpointDue = false;
  #isWriting = false;
  #isOpen = true;

  /** @param health called for each checkpoint; without it the stream has none */
  constructor(sink: WatchSink, health?: () => FeedHealth) {
    this.#sink = sink;
    this.#health = health;
  }

  /** Call this once, after all requested events were added: from now on the stream has checkpoints. */
  start(intervalMs: number): void {
    if (!this.#isOpen) return;
    const makeDue = () => {
      this.#isCheckpointDue = true;
      this.#pump();
    };
    this.#timer = setInterval(makeDue, intervalMs);
    makeDue();
  }

  get events(): EventSpeakers[] {
    return [...this.#places.values()].map(({ speakers }) => speakers);
  }

  /** Adds an event. Its snapshot is sent first. */
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

  /** Ends the watch. It writes nothing afterwards. Idempotent. */
  close(): void {
    this.#isOpen = false;
    clearInterval(this.#timer);
    for (const { speakers, reader } of this.#places.values()) speakers.removeReader(reader);
    this.#places.clear();
    this.#pending.clear();
  }

  #pump(): void {
    const hasNothing = this.#pending.size === 0 && !this.#isCheckpointDue;
    if (this.#isWriting || !this.#isOpen || hasNothing) return;
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
    // A checkpoint comes after all that was due before it.
    if (this.#isCheckpointDue && this.#pending.size === 0 && this.#health !== undefined) {
      this.#isCheckpointDue = false;
      const frame = encodeSpeakersCheckpoint(this.#health());
      frames.push(frame);
      bytes += frame.length;
    }
    return Buffer.concat(frames, bytes);
  }
}

function hasNews({ isSnapshotDue, changed }: Place): boolean {
  return isSnapshotDue || changed.size > 0;
}

// Returns the next frame of an event with unsent changes.
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
