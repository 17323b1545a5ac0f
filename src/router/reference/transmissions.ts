import type { FloorPriority } from "../../domain/floor.js";
import { pttInterruptedFrame } from "../relay/frames.js";
import type { ClientIdentity } from "./clientToken.js";
import { isRefusal, isStaleLease, type PttOutcome, refusalText } from "./routerCalls.js";
import type { RouterContext } from "./routerContext.js";

/** How often a lease is renewed while the client transmits, ms. */
const RENEWAL_INTERVAL_MS = 2_000;
/** The wait before a release that failed is tried again, ms. */
const RELEASE_RETRY_MS = 1_000;

interface Transmission {
  leaseId: bigint;
  startedAtMs: number;
  talkUntilMs: number;
  /** When the floor was asked for, ms of `performance.now()`: no later than `startedAtMs` by the store's clock. */
  askedAtMs: number;
  /** The client has let go, though the store may not know yet. */
  isReleased: boolean;
  /** The next renewal, or the next attempt to give the floor back. */
  next?: NodeJS.Timeout;
  /** The end of the lease. */
  expiry?: NodeJS.Timeout;
}

/** Whose transmissions they are. */
export interface Speaker {
  readonly identity: ClientIdentity;
  /** Tells the connections of one user apart. */
  readonly sessionId: string;
  send(frame: string): void;
  /** The client has finished speaking on the channel. */
  transmissionEnded(channelId: string): void;
}

/** A press of the talk button that the store answered, as it is when the answer has come. */
export type PressOutcome = PttOutcome | { granted: false; place?: undefined; cause: "lost" };

/**
 * The floors that one client holds, from grant to release, loss or the end of the lease. While the client transmits the
 * lease is renewed; what cannot be given back is tried again until its lease has ended.
 */
export class Transmissions {
  readonly #speaker: Speaker;
  readonly #context: RouterContext;
  readonly #active = new Map<string, Transmission>();
  /** By channel that is waited for: when the store last said so, ms of `performance.now()`. */
  readonly #queuedAtMs = new Map<string, number>();
  /** What must be done before the floor is asked for again. */
  #settled: Promise<void> = Promise.resolve();

  constructor(speaker: Speaker, context: RouterContext) {
    this.#speaker = speaker;
    this.#context = context;
  }

  isTransmitting(channelId: string, startedAtMs?: number): boolean {
    const transmission = this.#active.get(channelId);
    if (transmission === undefined || transmission.isReleased) return false;
    return startedAtMs === undefined || transmission.startedAtMs === startedAtMs;
  }

  /** True while the floor is held, or not known to be free. */
  holds(channelId: string): boolean {
    return this.#active.has(channelId);
  }

  /**
   * Asks the store for the floor. Rejects with the error of the call: then it is not waited for either.
   *
   * @param waits whether to wait where another holds it: until the next call for the channel, or `giveUp`
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
      // The store may have granted it for all that, or may yet where it is waited for; nobody may be left holding the floor
      // without knowing.
      if (!isRefusal(error) || queuedAtMs !== undefined)
        this.#settled = this.#giveBack(channelId, { userId: identity.userId, sessionId });
      throw error;
    }
    if (!outcome.granted) {
      if (outcome.place) this.#queuedAtMs.set(channelId, askedAtMs);
      return outcome;
    }
    // Whoever waited may have been granted it at any time since; then the lease is short until it is renewed.
    const transmission = this.#begin(channelId, outcome, queuedAtMs ?? askedAtMs);
    if (queuedAtMs !== undefined) await this.#renew(channelId, transmission);
    // The news that the floor was taken away again may have overtaken the answer.
    if (floorLosses(identity.eventId) !== lossesBefore && (await this.#isHeld(channelId, transmission)) !== true) {
      await this.stopQuietly([channelId]);
    }
    return this.isTransmitting(channelId, outcome.startedAtMs) ? outcome : { granted: false, cause: "lost" };
  }

  /** Waits no longer for a floor; one that was granted meanwhile is given back. */
  async giveUp(channelId: string): Promise<void> {
    const { identity, sessionId } = this.#speaker;
    this.#queuedAtMs.delete(channelId);
    await this.#giveBack(channelId, { userId: identity.userId, sessionId });
  }

  /** Gives the floor back. Rejects with the error of the call: then it isn't known to be free. */
  async stop(channelId: string): Promise<void> {
    const transmission = this.#active.get(channelId);
    if (transmission === undefined) return;
    transmission.isReleased = true;
    clearTimeout(transmission.next);
    try {
      await this.#context.calls.stopPtt(channelId, { leaseId: transmission.leaseId });
    } catch (error) {
      if (isStaleLease(error)) this.#forget(channelId, transmission);
      else this.#retryRelease(channelId, transmission);
      throw error;
    }
    this.#forget(channelId, transmission);
  }

  /** The same as `stop` for all channels or one, where there is nobody left to be told of a failure. */
  async stopQuietly(channelIds: Iterable<string> = this.#active.keys()): Promise<void> {
    await Promise.all(
      [...channelIds].map((channelId) =>
        this.stop(channelId).catch((error: unknown) => {
          const { userId } = this.#speaker.identity;
          this.#context.logger.warn({ channelId, userId, err: error }, "floor not given back yet");
        }),
      ),
    );
  }

  /** The store has taken the floor away. */
  lose(channelId: string): void {
    const transmission = this.#active.get(channelId);
    if (transmission) this.#forget(channelId, transmission);
  }

  /** Asks for all that is held anew, where the leases have been replaced; tells the client what it has lost. */
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
        // The next renewal of the lease finds out.
        const { userId } = identity;
        logger.warn({ channelId, userId, reason: refusalText(error) }, "floor not asked for anew");
      }
    });
    await Promise.all(renewals);
  }

  /** Compares all that is held with the store, and tells the client what it has lost. */
  async verifyAll(): Promise<void> {
    await Promise.all([...this.#active].map(([channelId, transmission]) => this.#verify(channelId, transmission)));
  }

  async #verify(channelId: string, transmission: Transmission): Promise<void> {
    if ((await this.#isHeld(channelId, transmission)) !== false) return;
    if (this.#active.get(channelId) !== transmission) return;
    this.#forget(channelId, transmission);
    if (!transmission.isReleased) this.#interrupt(channelId, "The floor was taken away");
  }

  // Undefined if the store doesn't answer.
  async #isHeld(channelId: string, transmission: Transmission): Promise<boolean | undefined> {
    const { calls, logger } = this.#context;
    const { userId } = this.#speaker.identity;
    try {
      const holder = (await calls.getChannel(channelId))?.holder;
      return holder?.userId === userId && holder.startedAtMs === transmission.startedAtMs;
    } catch (error) {
      logger.warn({ channelId, reason: refusalText(error) }, "speaker of a channel not known");
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

  // Counted from before the floor was asked for, so that it is no later than by the store's clock.
  #expireAt(channelId: string, transmission: Transmission, expiresAtMs: number): void {
    const endMs = transmission.askedAtMs + expiresAtMs - transmission.startedAtMs;
    clearTimeout(transmission.expiry);
    const expire = () => this.#expire(channelId, transmission, expiresAtMs >= transmission.talkUntilMs);
    transmission.expiry = setTimeout(expire, Math.max(endMs - performance.now(), 0)).unref();
  }

  #expire(channelId: string, transmission: Transmission, hasTalkedOut: boolean): void {
    if (this.#active.get(channelId) !== transmission) return;
    this.#forget(channelId, transmission);
    const message = hasTalkedOut ? "You have talked for too long" : "The floor could not be kept";
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
      this.#context.logger.warn({ channelId, userId, err: error }, "lease not renewed, will try again");
    }
    this.#renewLater(channelId, transmission);
  }

  // A press that comes meanwhile waits for it.
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
      this.#context.logger.debug({ channelId, ...holder, err: error }, "nothing to give back");
    }
  }
}
