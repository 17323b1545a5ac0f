import { type ActiveSpeaker, isSameFloor } from "../../../domain/floor.js";
import type { Engine } from "../../../domain/ports/engine.js";
import type { FloorNews, FloorPicture, PublishedSpeaker } from "../../../domain/ports/floorStore.js";
import type { Unsubscribe } from "../../../domain/ports/unsubscribe.js";
import type { Logger } from "../../../lib/logger.js";
import { encodeFloor, encodeFloors } from "../wire/encodeFloors.js";

/** How long after its end a floor is looked at: the store's clock has to be past it. */
const MARGIN_MS = 20;
/** The wait before the store is asked again after a failure, ms. */
const RETRY_MS = 500;
/** How often a floor is looked at whose holder should be gone by now, ms. */
const OVERDUE_MS = 1_000;
/** News that is kept while the floors are being read; with more they are read anew. */
const MAX_EARLY_NEWS = 1_000;

/** Told of what happens to the floors of an event. */
export interface SpeakersReader {
  onFloorChanged(channelId: string): void;
  /** All that was told before is void: changes may have been missed. */
  onFloorsReset(): void;
}

interface Floor {
  /** The store's number as of which this is known. */
  version: number;
  /** When it became so, ms since 1970 by the store's clock. */
  timeMs: number;
  holder: ActiveSpeaker | undefined;
  /** The frame that tells of it, once a watcher has asked for it: all are sent the same. */
  frame?: Buffer;
}

/**
 * Who speaks in one event, in the memory of this replica. What Squelch does to a floor is told with a number; where one
 * is missing everything is read anew. What routers do that write the store themselves is a hint at most, or nothing at
 * all: then the channel is read, at a hint or at the end of the lock that was known.
 */
export class EventSpeakers {
  readonly eventId: string;
  readonly #engine: Engine;
  readonly #logger: Logger;
  readonly #floors = new Map<string, Floor>();
  readonly #readers = new Set<SpeakersReader>();
  readonly #hints = new Map<string, Unsubscribe>();
  /** Channels that may have changed without a word of Squelch. */
  readonly #doubtful = new Set<string>();
  #epoch = "";
  #version = 0;
  #timeMs = 0;
  /** `performance.now()` when it was `#timeMs`. */
  #localTimeMs = 0;
  /** What comes until everything has been read. */
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

  /** By channel id ascending. */
  listSpeakers(): ActiveSpeaker[] {
    const holders = [...this.#floors.values()].map(({ holder }) => holder);
    return holders.filter((holder) => holder !== undefined).sort((a, b) => (a.channelId < b.channelId ? -1 : 1));
  }

  /** Who speaks on a channel, and since when it is so. */
  floorOf(channelId: string): Floor {
    return this.#floors.get(channelId) ?? { version: this.#version, timeMs: this.#timeMs, holder: undefined };
  }

  /** A frame that tells of all speakers. */
  encodeAll(): Buffer {
    return encodeFloors(this.eventId, this.listSpeakers(), this.#timeMs);
  }

  /** A frame that tells who speaks on a channel. */
  encodeFloorOf(channelId: string): Buffer {
    const floor = this.floorOf(channelId);
    floor.frame ??= encodeFloor(this.eventId, channelId, floor.holder, floor.timeMs);
    return floor.frame;
  }

  /** Reads the floors and follows them. Rejects with `unavailable`; then it is closed. */
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

  /** News may have been missed: everything is read anew. */
  doubt(): void {
    this.#isLost = true;
    void this.#read();
  }

  /**
   * Follows what other routers tell of the event's channels, those that came since included. Rejects with `unavailable`.
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
    // Whoever spoke there before it was followed.
    for (const channelId of added) this.#doubtful.add(channelId);
    void this.#read();
  }

  #takeHint(channelId: string, told: PublishedSpeaker | undefined): void {
    const { holder } = this.floorOf(channelId);
    // Squelch's own changes are told to routers too, after the news of them.
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
      // What was read later than this was told is newer.
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

  // One question at a time, so that answers come in the order of what they say.
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

  // The end of a lock that another router has written is told by nobody. Locks without an end are not looked at.
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
      // Its answer says when to look again.
      if (holder.expiresAtMs <= endedAtMs) this.#doubtful.add(channelId);
      else this.#lookAgainAt(holder.expiresAtMs);
    }
    void this.#read();
  }
}
