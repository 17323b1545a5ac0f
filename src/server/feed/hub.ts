import { randomBytes } from "node:crypto";
import { hostname } from "node:os";
import { isUnavailable } from "../../domain/errors.js";
import type { ReplicaReport } from "../../domain/fleet.js";
import type { Engine, FeedHealth } from "../../domain/ports/engine.js";
import type { Unsubscribe } from "../../domain/ports/unsubscribe.js";
import type { Logger } from "../../lib/logger.js";
import { BanKeeper } from "../keepers/banKeeper.js";
import { LeaseKeeper } from "../keepers/leaseKeeper.js";
import { PauseKeeper } from "../keepers/pauseKeeper.js";
import { RouterPresence } from "../keepers/routerPresence.js";
import { FeedCounts } from "../ops/feedCounts.js";
import { EventFeed } from "./eventFeed.js";
import { SpeakerHub } from "./speakers/speakerHub.js";

/** How often feeds compare their position with the log, ms. */
const POSITION_CHECK_INTERVAL_MS = 2_000;

/** How long an event stays loaded after its last `release`, ms. */
const DEFAULT_RELEASE_GRACE_MS = 30_000;

/** The wait before an event in which leases run is loaded again, ms. */
const KEEP_RETRY_MS = 2_000;

interface Slot {
  feed: EventFeed;
  leases: LeaseKeeper;
  bans: BanKeeper;
  opened: Promise<void>;
  users: number;
  releaseTimer?: NodeJS.Timeout;
}

/** The events that this replica has loaded. Each is loaded once, while it is in use and for a grace time after. */
export class Hub {
  /** The id of this replica. It is unique in the fleet. */
  readonly replicaId = `${hostname()}-${randomBytes(3).toString("hex")}`;
  /** When this replica started, by `performance.now()`. */
  readonly startedMs = performance.now();
  /** Returns the present report of this replica; undefined while it is not reported. */
  ownReport: () => ReplicaReport | undefined = () => undefined;
  readonly engine: Engine;
  readonly logger: Logger;
  readonly counts: FeedCounts;
  /** The routers that have a watch open on this replica. */
  readonly presence: RouterPresence;
  /** Upholds the pauses of all events, loaded or not. */
  readonly pauses: PauseKeeper;
  /** The speakers of the events that WatchChannels streams watch. */
  readonly speakers: SpeakerHub;
  readonly #releaseGraceMs: number;
  readonly #slots = new Map<string, Slot>();
  /** Events with running leases that could not be loaded. They will soon be loaded again. */
  readonly #retries = new Map<string, NodeJS.Timeout>();
  readonly #stop: (() => void)[] = [];

  constructor(engine: Engine, logger: Logger, counts = new FeedCounts(), releaseGraceMs = DEFAULT_RELEASE_GRACE_MS) {
    this.engine = engine;
    this.logger = logger;
    this.counts = counts;
    this.presence = new RouterPresence(engine, logger);
    this.pauses = new PauseKeeper(engine, logger);
    this.speakers = new SpeakerHub(engine, logger);
    this.#releaseGraceMs = releaseGraceMs;
    const timer = setInterval(() => void this.#checkPositions(), POSITION_CHECK_INTERVAL_MS);
    this.#stop.push(
      () => clearInterval(timer),
      () => this.presence.close(),
      () => this.pauses.close(),
      () => this.speakers.close(),
      engine.onFeedRestored(() => {
        for (const { feed, leases, bans } of this.#slots.values()) {
          feed.doubt();
          leases.doubt();
          bans.look();
        }
        void this.#checkPositions();
      }),
    );
  }

  get loadedEvents(): number {
    return this.#slots.size;
  }

  get health(): FeedHealth {
    return this.engine.feedHealth();
  }

  /**
   * Returns the feed of an event, which stays loaded until `release`. Rejects with `unavailable` if the event had to be
   * loaded and the store could not be reached.
   */
  async acquire(eventId: string): Promise<EventFeed> {
    const slot = this.#slots.get(eventId) ?? this.#open(eventId);
    slot.users++;
    clearTimeout(slot.releaseTimer);
    try {
      await slot.opened;
      return slot.feed;
    } catch (error) {
      slot.users--;
      throw error;
    }
  }

  release(feed: EventFeed): void {
    const slot = this.#slots.get(feed.eventId);
    if (slot?.feed !== feed) return;
    slot.users--;
    if (slot.users === 0) this.#scheduleRelease(slot);
  }

  /**
   * Loads an event in which a lease was granted, so that its expiry is announced even if no stream watches the event. The
   * event stays loaded while leases run. A failure is only logged, because the grant has already succeeded. If the store is
   * unavailable, loading is tried again.
   */
  async keepWhileBusy(eventId: string): Promise<void> {
    try {
      this.release(await this.acquire(eventId));
    } catch (error) {
      this.logger.warn(
        { err: error, eventId },
        "event could not be loaded, expiries of its leases will be announced late",
      );
      if (isUnavailable(error)) this.#keepLater(eventId);
    }
  }

  // A single timer for each event, until the event is loaded.
  #keepLater(eventId: string): void {
    if (this.#retries.has(eventId) || this.#stop.length === 0) return;
    const timer = setTimeout(() => {
      this.#retries.delete(eventId);
      void this.keepWhileBusy(eventId);
    }, KEEP_RETRY_MS);
    this.#retries.set(eventId, timer);
  }

  /**
   * Calls back for every existing event and for each new one, possibly more than once. Rejects with `unavailable`.
   */
  async followEvents(listener: (eventId: string) => void): Promise<Unsubscribe> {
    const list = async () => {
      for (const eventId of await this.engine.listEvents()) listener(eventId);
    };
    const unfollow = await this.engine.followEvents(listener);
    const unlisten = this.engine.onFeedRestored(() => {
      list().catch((error: unknown) => this.logger.warn({ err: error }, "events could not be listed, will try again"));
    });
    const stop = () => {
      unfollow();
      unlisten();
    };
    try {
      await list();
      return stop;
    } catch (error) {
      stop();
      throw error;
    }
  }

  close(): void {
    for (const stop of this.#stop.splice(0)) stop();
    for (const timer of this.#retries.values()) clearTimeout(timer);
    this.#retries.clear();
    for (const slot of this.#slots.values()) {
      clearTimeout(slot.releaseTimer);
      closeSlot(slot);
    }
    this.#slots.clear();
  }

  #open(eventId: string): Slot {
    const feed = new EventFeed(eventId, this.engine, this.counts, this.logger);
    const leases = new LeaseKeeper(eventId, this.engine, this.logger);
    const bans = new BanKeeper(eventId, this.engine, this.logger);
    const opened = Promise.all([feed.open(), leases.open(), bans.open()]).then(() => undefined);
    const slot: Slot = { feed, leases, bans, opened, users: 0 };
    this.#slots.set(eventId, slot);
    slot.opened.catch(() => {
      closeSlot(slot);
      if (this.#slots.get(eventId) === slot) this.#slots.delete(eventId);
    });
    return slot;
  }

  // An event with running leases stays loaded, so that their expiries are announced.
  #scheduleRelease(slot: Slot): void {
    slot.releaseTimer = setTimeout(() => {
      if (slot.users > 0) return;
      if (slot.leases.isBusy) {
        this.#scheduleRelease(slot);
        return;
      }
      closeSlot(slot);
      this.#slots.delete(slot.feed.eventId);
    }, this.#releaseGraceMs);
  }

  async #checkPositions(): Promise<void> {
    const checks = [...this.#slots.values()].map(async ({ feed, leases, opened }) => {
      feed.discardIdleSnapshots();
      await opened;
      await Promise.all([feed.synchronise(), leases.synchronise()]);
    });
    const failures = (await Promise.allSettled(checks)).filter((check) => check.status === "rejected");
    if (failures.length === 0) return;
    const counts = { failed: failures.length, events: checks.length };
    this.logger.warn(
      { err: failures[0]?.reason, ...counts },
      "feeds could not be compared with the log, will try again",
    );
  }
}

function closeSlot({ feed, leases, bans }: Slot): void {
  feed.close();
  leases.close();
  bans.close();
}
