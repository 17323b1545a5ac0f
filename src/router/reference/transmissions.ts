import type { FloorPriority } from "../../domain/floor.js";
import { pttInterruptedFrame } from "../relay/frames.js";
import type { ClientIdentity } from "./clientToken.js";
import { isRefusal, isStaleLease, type PttOutcome, refusalText } from "./routerCalls.js";
import type { RouterContext } from "./routerContext.js";

/** How often a lease is renewed while the client transmits, ms. */
const RENEWAL_INTERVAL_MS = 2_000;
/** The wait before a failed release is retried, ms. */
const RELEASE_RETRY_MS = 1_000;

interface Transmission {
  leaseId: bigint;
  startedAtMs: number;
  talkUntilMs: number;
  /** The time of the request, ms of `performance.now()`. It is earlier than the start of the lease. */
  askedAtMs: number;
  /** True if the client has released the button. The store may not know yet. */
  isReleased: boolean;
  /** The next renewal, or the next attempt to release the floor. */
  next?: NodeJS.Timeout;
  /** Fires at the end of the lease. */
  expiry?: NodeJS.Timeout;
}

/** The client that transmits. */
export interface Speaker {
  readonly identity: ClientIdentity;
  /** Different for each connection, also of the same user. */
  readonly sessionId: string;
  send(frame: string): void;
  /** Called when the client has finished speaking on the channel. */
  transmissionEnded(channelId: string): void;
}

/** The outcome of a press. `lost` means that the floor was taken away before the answer arrived. */
export type PressOutcome = PttOutcome | { granted: false; place?: undefined; cause: "lost" };

/**
 * The floors that one client holds, from grant to release, loss or end of the lease. While the client transmits, its
 * leases are renewed. A failed release is retried until the lease has ended.
 */
export class Transmissions {
  readonly #speaker: Speaker;
  readonly #context: RouterContext;
  readonly #active = new Map<string, Transmission>();
  /** The channels with a waiting request. The value is the time of the last request, ms of `performance.now()`. */
  readonly #queuedAtMs = new Map<string, number>();
  /** Releases that must finish before the next request for a floor. */
  #settled: Promise<void> = Promise.resolve();

  constructor(speaker: Speaker, context: RouterContext) {
    this.#speaker = speaker;
    this.#context = context;
  }

  /**
   * True while the client speaks on the channel.
   *
   * @param startedAtMs if given, only for the floor that was taken at this time by the clock of Redis
   */
  isTransmitting(channelId: string, startedAtMs?: number): boolean {
    const transmission = this.#active.get(channelId);
    if (transmission === undefined || transmission.isReleased) return false;
    return startedAtMs === undefined || transmission.startedAtMs === startedAtMs;
  }

  /** True while the client holds the floor, or its release is not confirmed. */
  holds(channelId: string): boolean {
    return this.#active.has(channelId);
  }

  /**
   * Asks the store for the floor. Rejects with the error of the call; then the request does not wait either.
   *
   * @param waits true to wait in the queue while another user holds the floor, until the next call for the channel or
   * `giveUp`
   */
  async start(channelId: string, priority: FloorPriority, waits = false): Promise<PressOutcome> {
    await this.#settled;
    const askedAtMs = performance.now();
    const queuedAtMs = this.#queuedAtMs.get(channelId);
    this.#queuedAtMs.delete(channelId);
    const { calls, floorLosses } = this.#context;
    const { identity, sessionId } = this.#speaker;
    const lossesBefore = floorLosses(identity.eventId);
    let outcome: PttOutcome;
    try {
      outcome = await calls.startPtt(channelId, identity, sessionId, priority, waits);
    } catch (error) {
      // The store may have granted the floor although the call failed, or may grant it later to a waiting request. It is
      // released, so that the client does not hold a floor without knowing.
      if (!isRefusal(error) || queuedAtMs !== undefined)
        this.#settled = this.#giveBack(channelId, { userId: identity.userId, sessionId });
      throw error;
    }
    if (!outcome.granted) {
      if (outcome.place) this.#queuedAtMs.set(channelId, askedAtMs);
      return outcome;
    }
    // A waiting request may have been granted at any time since. Its lease is short until it is renewed.
    const transmission = this.#begin(channelId, outcome, queuedAtMs ?? askedAtMs);
    if (queuedAtMs !== undefined) await this.#renew(channelId, transmission);
    // The floor may have been taken away again, and the watch may have delivered this before the answer arrived.
    if (floorLosses(identity.eventId) !== lossesBefore && (await this.#isHeld(channelId, transmission)) !== true) {
      await this.stopQuietly([channelId]);
    }
    return this.isTransmitting(channelId, outcome.startedAtMs) ? outcome : { granted: false, cause: "lost" };
  }

  /** Stops waiting for a floor. Releases the floor if it was granted in the meantime. */
  async giveUp(channelId: string): Promise<void> {
    const { identity, sessionId } = this.#speaker;
    this.#queuedAtMs.delete(channelId);
    await this.#giveBack(channelId, { userId: identity.userId, sessionId });
  }

  /**
   * Releases the floor. Resolves with false if the client no longer held it. Rejects with the error of the call; the floor
   * may still be held then.
   */
  async stop(channelId: string): Promise<boolean> {
    const transmission = this.#active.get(channelId);
    if (transmission === undefined) return false;
    transmission.isReleased = true;
    clearTimeout(transmission.next);
    try {
      await this.#context.calls.stopPtt(channelId, { leaseId: transmission.leaseId });
    } catch (error) {
      if (!isStaleLease(error)) {
        this.#retryRelease(channelId, transmission);
        throw error;
      }
      this.#forget(channelId, transmission);
      return false;
    }
    this.#forget(channelId, transmission);
    return true;
  }

  /** Releases the floors of the given channels, by default of all. Failures are logged. Never rejects. */
  async stopQuietly(channelIds: Iterable<string> = this.#active.keys()): Promise<void> {
    await Promise.all(
      [...channelIds].map((channelId) =>
        this.stop(channelId).catch((error: unknown) => {
          const { userId } = this.#speaker.identity;
          this.#context.logger.warn({ channelId, userId, err: error }, "release of the floor failed, retrying");
        }),
      ),
    );
  }

  /** Records that the store has taken the floor away. */
  lose(channelId: string): void {
    const transmission = this.#active.get(channelId);
    if (transmission) this.#forget(channelId, transmission);
  }

  /** Asks again for all floors that are held, after their leases were replaced. Notifies the client of lost floors. */
  async renewAll(): Promise<void> {
    const { calls, logger } = this.#context;
    const { identity, sessionId } = this.#speaker;
    const renewals = [...this.#active].map(async ([channelId, transmission]) => {
      if (transmission.isReleased) return;
      const askedAtMs = performance.now();
      try {
        const outcome = await calls.startPtt(channelId, identity, sessionId, "normal");
        if (this.#active.get(channelId) !== transmission || transmission.isReleased) return;
        if (outcome.granted) this.#begin(channelId, outcome, askedAtMs);
        else {
          this.#forget(channelId, transmission);
          this.#interrupt(channelId, "The floor was taken away");
        }
      } catch (error) {
        // The next renewal shows if the floor is lost.
        const { userId } = identity;
        logger.warn({ channelId, userId, reason: refusalText(error) }, "floor could not be requested again");
      }
    });
    await Promise.all(renewals);
  }

  /** Compares all floors that are held with the store. Notifies the client of lost floors. */
  async verifyAll(): Promise<void> {
    await Promise.all([...this.#active].map(([channelId, transmission]) => this.#verify(channelId, transmission)));
  }

  async #verify(channelId: string, transmission: Transmission): Promise<void> {
    if ((await this.#isHeld(channelId, transmission)) !== false) return;
    if (this.#active.get(channelId) !== transmission) return;
    this.#forget(channelId, transmission);
    if (!transmission.isReleased) this.#interrupt(channelId, "The floor was taken away");
  }

  // Returns undefined if the store does not answer.
  async #isHeld(channelId: string, transmission: Transmission): Promise<boolean | undefined> {
    const { calls, logger } = this.#context;
    const { userId } = this.#speaker.identity;
    try {
      const holder = (await calls.getChannel(channelId))?.holder;
      return holder?.userId === userId && holder.startedAtMs === transmission.startedAtMs;
    } catch (error) {
      logger.warn({ channelId, reason: refusalText(error) }, "speaker of the channel could not be read");
      return undefined;
    }
  }

  #begin(channelId: string, grant: Extract<PttOutcome, { granted: true }>, askedAtMs: number): Transmission {
    const { leaseId, startedAtMs, expiresAtMs, talkUntilMs } = grant;
    const known = this.#active.get(channelId);
    if (known !== undefined && known.leaseId !== leaseId) this.#forget(channelId, known);
    const isSame = known?.leaseId === leaseId;
    const transmission = isSame ? known : { leaseId, startedAtMs, talkUntilMs, askedAtMs, isReleased: false };
    transmission.isReleased = false;
    this.#active.set(channelId, transmission);
    this.#expireAt(channelId, transmission, expiresAtMs);
    this.#renewLater(channelId, transmission);
    return transmission;
  }

  // Counted from the time of the request, so that this timer ends before the lease ends in the store.
  #expireAt(channelId: string, transmission: Transmission, expiresAtMs: number): void {
    const endMs = transmission.askedAtMs + expiresAtMs - transmission.startedAtMs;
    clearTimeout(transmission.expiry);
    const expire = () => this.#expire(channelId, transmission, expiresAtMs >= transmission.talkUntilMs);
    transmission.expiry = setTimeout(expire, Math.max(endMs - performance.now(), 0)).unref();
  }

  #expire(channelId: string, transmission: Transmission, hasTalkedOut: boolean): void {
    if (this.#active.get(channelId) !== transmission) return;
    this.#forget(channelId, transmission);
    const message = hasTalkedOut
      ? "You have talked for too long"
      : "The connection to the service failed, so you lost the floor";
    if (!transmission.isReleased) this.#interrupt(channelId, message);
  }

  #renewLater(channelId: string, transmission: Transmission): void {
    clearTimeout(transmission.next);
    transmission.next = setTimeout(() => void this.#renew(channelId, transmission), RENEWAL_INTERVAL_MS).unref();
  }

  async #renew(channelId: string, transmission: Transmission): Promise<void> {
    const isOver = () => this.#active.get(channelId) !== transmission || transmission.isReleased;
    try {
      const expiresAtMs = await this.#context.calls.renewPtt(channelId, transmission.leaseId);
      if (isOver()) return;
      this.#expireAt(channelId, transmission, expiresAtMs);
    } catch (error) {
      if (isOver()) return;
      if (isStaleLease(error)) {
        this.#forget(channelId, transmission);
        this.#interrupt(channelId, "The floor was taken away");
        return;
      }
      const { userId } = this.#speaker.identity;
      this.#context.logger.warn({ channelId, userId, err: error }, "renewal of the lease failed, retrying");
    }
    this.#renewLater(channelId, transmission);
  }

  // The next request for a floor waits for this release.
  #retryRelease(channelId: string, transmission: Transmission): void {
    if (this.#active.get(channelId) !== transmission) return;
    const retry = () => {
      this.#settled = Promise.all([this.#settled, this.stopQuietly([channelId])]).then(() => undefined);
    };
    transmission.next = setTimeout(retry, RELEASE_RETRY_MS).unref();
  }

  #interrupt(channelId: string, message: string): void {
    this.#speaker.send(pttInterruptedFrame(channelId, "", message));
    this.#speaker.transmissionEnded(channelId);
  }

  #forget(channelId: string, transmission: Transmission): void {
    clearTimeout(transmission.expiry);
    clearTimeout(transmission.next);
    if (this.#active.get(channelId) === transmission) this.#active.delete(channelId);
  }

  async #giveBack(channelId: string, holder: { userId: string; sessionId: string }): Promise<void> {
    try {
      await this.#context.calls.stopPtt(channelId, holder);
    } catch (error) {
      this.#context.logger.debug({ channelId, ...holder, err: error }, "release not needed or failed");
    }
  }
}
