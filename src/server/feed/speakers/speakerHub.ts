import type { Engine } from "../../../domain/ports/engine.js";
import type { Logger } from "../../../lib/logger.js";
import { EventSpeakers } from "./eventSpeakers.js";

/** How often the events are checked for new channels, ms. */
const NEW_CHANNELS_INTERVAL_MS = 10_000;

interface Slot {
  speakers: EventSpeakers;
  opened: Promise<void>;
  users: number;
}

/** The events of which WatchChannels streams watch the speakers. Each is followed once, until its last stream ends. */
export class SpeakerHub {
  readonly #engine: Engine;
  readonly #logger: Logger;
  readonly #slots = new Map<string, Slot>();
  readonly #stop: (() => void)[];

  constructor(engine: Engine, logger: Logger) {
    this.#engine = engine;
    this.#logger = logger;
    const timer = setInterval(() => this.#followNewChannels(), NEW_CHANNELS_INTERVAL_MS);
    this.#stop = [
      () => clearInterval(timer),
      engine.onFeedRestored(() => {
        for (const { speakers } of this.#slots.values()) speakers.doubt();
      }),
    ];
  }

  /** Returns the speakers of an event, which are followed until `release`. Rejects with `unavailable`. */
  async acquire(eventId: string): Promise<EventSpeakers> {
    const slot = this.#slots.get(eventId) ?? this.#open(eventId);
    slot.users++;
    await slot.opened;
    return slot.speakers;
  }

  release(speakers: EventSpeakers): void {
    const slot = this.#slots.get(speakers.eventId);
    if (slot?.speakers !== speakers || --slot.users > 0) return;
    speakers.close();
    this.#slots.delete(speakers.eventId);
  }

  close(): void {
    for (const stop of this.#stop.splice(0)) stop();
    for (const { speakers } of this.#slots.values()) speakers.close();
    this.#slots.clear();
  }

  #open(eventId: string): Slot {
    const speakers = new EventSpeakers(eventId, this.#engine, this.#logger);
    const slot: Slot = { speakers, opened: speakers.open(), users: 0 };
    this.#slots.set(eventId, slot);
    slot.opened.catch(() => {
      if (this.#slots.get(eventId) === slot) this.#slots.delete(eventId);
    });
    return slot;
  }

  #followNewChannels(): void {
    for (const [eventId, { speakers, opened }] of this.#slots) {
      opened
        .then(() => speakers.followHints())
        .catch((error: unknown) => this.#logger.warn({ err: error, eventId }, "new channels could not be followed"));
    }
  }
}
