import { type ActiveSpeaker, isSameFloor } from "../../../domain/floor.js";
import type { Engine } from "../../../domain/ports/engine.js";
import type { FloorNews, FloorPicture, PublishedSpeaker } from "../../../domain/ports/floorStore.js";
import type { Unsubscribe } from "../../../domain/ports/unsubscribe.js";
import type { Logger } from "../../../lib/logger.js";
import { encodeFloor, encodeFloors } from "../wire/encodeFloors.js";

/** How long after the expiry of a floor it is read again, ms, so that the store's clock is past the expiry. */
const MARGIN_MS = 20;
/** The wait before a failed read is repeated, ms. */
const RETRY_MS = 500;
/** How often a floor is read again that is still held after its expiry, ms. */
const OVERDUE_MS = 1_000;
/** The most news that are kept while the floors are being read. If more arrive, the floors are read once more. */
const MAX_EARLY_NEWS = 1_000;

/** A reader of the floors of an event. */
export interface SpeakersReader {
  onFloorChanged(channelId: string): void;
  /** Called when changes may have been missed. The reader must start over with all speakers. */
  onFloorsReset(): void;
}

interface Floor {
  /** The version of the news or of the picture that this comes from. */
  version: number;
  /** When the speaker changed, ms since 1970 by the store's clock. */
  timeMs: number;
  holder: ActiveSpeaker | undefined;
  /** The encoded frame, made for the first watcher that needs it and shared by all others. */
  frame?: Buffer;
}

/**
 * The speakers of one event, in the memory of this replica.
 *
 * Squelch numbers the news of its own changes. If a number is missing, all floors are read again. Routers that write the
 * store directly send only hints, or nothing. A hint, or the expiry of a known lock, makes the replica read that channel.
 */
export class EventSpeakers {
  readonly eventId: string;
  readonly #engine: Engine;
  readonly #logger: Logger;
  readonly #floors = new Map<string, Floor>();
  readonly #readers = new Set<SpeakersReader>();
  readonly #hints = new Map<string, Unsubscribe>();
  /** Channels that a router may have changed directly in the store. They are read next. */
  readonly #doubtful = new Set<string>();
  #epoch = "";
  #version = 0;
  #timeMs = 0;
  /** The value of `performance.now()` at `#timeMs`. */
  #localTimeMs = 0;
  /** News that arrive while all floors are being read. */
  #early: FloorNews[] | undefined = [];
  #isLost = true;
  #isReading = false;
  #retry: NodeJS.Timeout | undefined;
  #expiry: NodeJS.Timeout | undefined;
  #expiresAtMs = Number.POSITIVE_INFINITY;
  #unfollow: Unsubscribe | undefined;
  #isClosed = false;

  constructor(eventId: string, engine: Engine, logger: Logger) {
    this.eventId = eventId;
    this.#engine = engine;
    this.#logger = logger;
  }

  /** Returns the speakers, ascending by channel id. */
  listSpeakers(): ActiveSpeaker[] {
    const holders = [...this.#floors.values()].map(({ holder }) => holder);
    return holders.filter((holder) => holder !== undefined).sort((a, b) => (a.channelId < b.channelId ? -1 : 1));
  }

  /** Returns the speaker of a channel and when that speaker was set. */
  floorOf(channelId: string): Floor {
    return this.#floors.get(channelId) ?? { version: this.#version, timeMs: this.#timeMs, holder: undefined };
  }

  /** Encodes a frame with all speakers. */
  encodeAll(): Buffer {
    return encodeFloors(this.eventId, this.listSpeakers(), this.#timeMs);
  }

  /** Returns a frame with the speaker of a channel. */
  encodeFloorOf(channelId: string): Buffer {
    const floor = this.floorOf(channelId);
    floor.frame ??= encodeFloor(this.eventId, channelId, floor.holder, floor.timeMs);
    return floor.frame;
  }

  /** Reads the floors and follows their changes. If it rejects with `unavailable`, it is closed. */
  async open(): Promise<void> {
    this.#isReading = true;
    try {
      this.#unfollow = await this.#engine.followFloor(this.eventId, (news) => this.#receive(news));
      await this.followHints();
      await this.#readAll();
    } catch (error) {
      this.close();
      throw error;
    } finally {
      this.#isReading = false;
    }
    if (this.#isClosed) this.close();
    else void this.#read();
  }

  close(): void {
    this.#isClosed = true;
    this.#unfollow?.();
    for (const unfollow of this.#hints.values()) unfollow();
    this.#hints.clear();
    clearTimeout(this.#retry);
    clearTimeout(this.#expiry);
  }

  addReader(reader: SpeakersReader): void {
    this.#readers.add(reader);
  }

  removeReader(reader: SpeakersReader): void {
    this.#readers.delete(reader);
  }

  /** Reads all floors again. Call it when news may have been missed. */
  doubt(): void {
    this.#isLost = true;
    void this.#read();
  }

  /**
   * Follows the hints that legacy routers publish on the event's channels, new channels included. Rejects with
   * `unavailable`.
   */
  async followHints(): Promise<void> {
    if (!this.#engine.hasLegacyRouters) return;
    const channelIds = await this.#engine.listEventChannels(this.eventId);
    const added = channelIds.filter((channelId) => !this.#hints.has(channelId));
    await Promise.all(
      added.map(async (channelId) => {
        const unfollow = await this.#engine.followChannel(channelId, (holder) => this.#takeHint(channelId, holder));
        if (this.#isClosed) unfollow();
        else this.#hints.set(channelId, unfollow);
      }),
    );
    // A speaker may have started there before this replica followed the channel.
    for (const channelId of added) this.#doubtful.add(channelId);
    void this.#read();
  }

  #takeHint(channelId: string, told: PublishedSpeaker | undefined): void {
    const { holder } = this.floorOf(channelId);
    // Squelch also publishes its own changes on the channel, after its message to replicas. They contain nothing new.
    if (holder?.userId === told?.userId && holder?.startedAtMs === told?.startedAtMs) return;
    this.#doubtful.add(channelId);
    void this.#read();
  }

  #receive(news: FloorNews): void {
    if (this.#early !== undefined) {
      if (this.#early.length < MAX_EARLY_NEWS) this.#early.push(news);
      else this.#isLost = true;
      return;
    }
    if (news.epoch === this.#epoch && news.version <= this.#version) return;
    if (news.epoch !== this.#epoch || news.version !== this.#version + 1) {
      this.doubt();
      return;
    }
    this.#version = news.version;
    this.#noteTime(news.timeMs);
    for (const { channelId, holder } of news.changes) {
      // A floor that was read after this message is newer than the message.
      if ((this.#floors.get(channelId)?.version ?? -1) < news.version) this.#set(channelId, holder, news);
    }
  }

  #noteTime(timeMs: number): void {
    this.#timeMs = timeMs;
    this.#localTimeMs = performance.now();
  }

  #set(channelId: string, holder: ActiveSpeaker | undefined, { version, timeMs }: Pick<Floor, "version" | "timeMs">) {
    const known = this.#floors.get(channelId);
    const isSame = isSameFloor(known?.holder, holder);
    this.#floors.set(channelId, { version, timeMs: isSame ? (known?.timeMs ?? timeMs) : timeMs, holder });
    if (holder !== undefined) this.#lookAgainAt(holder.expiresAtMs);
    if (isSame) return;
    for (const reader of this.#readers) reader.onFloorChanged(channelId);
  }

  // Makes one read at a time, so that the answers arrive in the order of their contents.
  async #read(): Promise<void> {
    if (this.#isReading || this.#isClosed) return;
    this.#isReading = true;
    clearTimeout(this.#retry);
    try {
      while ((this.#isLost || this.#doubtful.size > 0) && !this.#isClosed) {
        if (this.#isLost) await this.#readAll();
        else await this.#readDoubtful();
      }
    } catch (error) {
      this.#logger.warn({ err: error, eventId: this.eventId }, "speakers could not be read, will try again");
      this.#retry = setTimeout(() => void this.#read(), RETRY_MS);
    } finally {
      this.#isReading = false;
    }
  }

  async #readAll(): Promise<void> {
    this.#isLost = false;
    this.#early = [];
    let picture: FloorPicture;
    try {
      picture = await this.#engine.readFloors(this.eventId);
    } catch (error) {
      this.#isLost = true;
      throw error;
    }
    const { epoch, version, timeMs, speakers } = picture;
    this.#doubtful.clear();
    this.#epoch = epoch;
    this.#version = version;
    this.#noteTime(timeMs);
    this.#floors.clear();
    for (const holder of speakers) {
      this.#floors.set(holder.channelId, { version, timeMs, holder });
      this.#lookAgainAt(holder.expiresAtMs);
    }
    for (const reader of this.#readers) reader.onFloorsReset();
    const early = this.#early;
    this.#early = undefined;
    for (const news of early) this.#receive(news);
  }

  async #readDoubtful(): Promise<void> {
    const channelIds = [...this.#doubtful];
    this.#doubtful.clear();
    try {
      const picture = await this.#engine.readFloors(this.eventId, channelIds);
      if (picture.epoch !== this.#epoch) this.#isLost = true;
      if (this.#isLost) return;
      this.#noteTime(picture.timeMs);
      const holders = new Map(picture.speakers.map((holder) => [holder.channelId, holder]));
      for (const channelId of channelIds) {
        const isNewer = (this.#floors.get(channelId)?.version ?? 0) <= picture.version;
        if (isNewer) this.#set(channelId, holders.get(channelId), picture);
      }
    } catch (error) {
      for (const channelId of channelIds) this.#doubtful.add(channelId);
      throw error;
    }
  }

  // No program announces the expiry of a lock that a legacy router wrote, so it is read again then. A lock without an
  // expiry is not.
  #lookAgainAt(expiresAtMs: number): void {
    if (this.#isClosed || expiresAtMs === 0 || expiresAtMs >= this.#expiresAtMs) return;
    const remainingMs = expiresAtMs - this.#timeMs - (performance.now() - this.#localTimeMs) + MARGIN_MS;
    clearTimeout(this.#expiry);
    this.#expiresAtMs = expiresAtMs;
    this.#expiry = setTimeout(() => this.#expire(), remainingMs > 0 ? remainingMs : OVERDUE_MS);
  }

  #expire(): void {
    const endedAtMs = this.#expiresAtMs;
    this.#expiresAtMs = Number.POSITIVE_INFINITY;
    for (const [channelId, { holder }] of this.#floors) {
      if (holder === undefined || holder.expiresAtMs === 0) continue;
      // The answer of that read sets the next time.
      if (holder.expiresAtMs <= endedAtMs) this.#doubtful.add(channelId);
      else this.#lookAgainAt(holder.expiresAtMs);
    }
    void this.#read();
  }
}
