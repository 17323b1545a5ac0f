import type { ActiveSpeaker } from "../domain/floor.js";
import type { ClientIdentity } from "./clientToken.js";
import { pttInterruptedFrame } from "./frames.js";
import { describeCallError, isRefusal, type PttOutcome } from "./routerCalls.js";
import type { RouterContext } from "./routerContext.js";

interface Transmission {
  leaseId: bigint;
  startedAtMs: number;
  /** The client has let go, though the store may not know yet. */
  isReleased: boolean;
  expiry: NodeJS.Timeout;
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
export type PressOutcome = PttOutcome | { granted: false; cause: "lost" };

/** The floors that one client holds, from grant to release, loss or the end of the lease. */
export class Transmissions {
  readonly #speaker: Speaker;
  readonly #context: RouterContext;
  readonly #active = new Map<string, Transmission>();
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

  /** Asks the store for the floor. Rejects with the error of the call. */
  async start(channelId: string): Promise<PressOutcome> {
    await this.#settled;
    const { calls, floorLosses } = this.#context;
    const { identity, sessionId } = this.#speaker;
    const lossesBefore = floorLosses(identity.eventId);
    let outcome: PttOutcome;
    try {
      outcome = await calls.startPtt(channelId, identity, sessionId);
    } catch (error) {
      // The store may have granted it for all that; nobody may be left holding the floor without knowing.
      if (!isRefusal(error)) this.#settled = this.#giveBack(channelId, { userId: identity.userId, sessionId });
      throw error;
    }
    if (!outcome.granted) return outcome;
    const transmission = this.#begin(channelId, outcome);
    // The news that the floor was taken away again may have overtaken the answer.
    if (floorLosses(identity.eventId) !== lossesBefore && (await this.#isHeld(channelId, transmission)) !== true) {
      await this.stopQuietly([channelId]);
    }
    return this.isTransmitting(channelId, outcome.startedAtMs) ? outcome : { granted: false, cause: "lost" };
  }

  /** Gives the floor back. Rejects with the error of the call: then it isn't known to be free. */
  async stop(channelId: string): Promise<void> {
    const transmission = this.#active.get(channelId);
    if (transmission === undefined) return;
    transmission.isReleased = true;
    const { startedAtMs, leaseId } = transmission;
    try {
      await this.#context.calls.stopPtt(channelId, { leaseId });
    } catch (error) {
      // Refused: the lease is not the current one any more. Else the transmission is kept until its lease ends.
      if (isRefusal(error)) {
        this.#forget(channelId, transmission);
        await this.#refreshHolder(channelId);
      }
      throw error;
    }
    this.#forget(channelId, transmission);
    this.#release(channelId, startedAtMs);
  }

  /** The same as `stop` for all channels or one, where there is nobody left to be told of a failure. */
  async stopQuietly(channelIds: Iterable<string> = this.#active.keys()): Promise<void> {
    await Promise.all(
      [...channelIds].map((channelId) =>
        this.stop(channelId).catch((error: unknown) => {
          const { userId } = this.#speaker.identity;
          this.#context.logger.warn({ channelId, userId, err: error }, "floor not given back; its lease will end");
        }),
      ),
    );
  }

  /** The store has taken the floor away. */
  lose(channelId: string): void {
    const transmission = this.#active.get(channelId);
    if (transmission) this.#forget(channelId, transmission);
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
    const stored = await this.#refreshHolder(channelId);
    const { userId } = this.#speaker.identity;
    return stored && stored.holder?.userId === userId && stored.holder.startedAtMs === transmission.startedAtMs;
  }

  #begin(channelId: string, grant: Extract<PttOutcome, { granted: true }>): Transmission {
    const { leaseId, startedAtMs, expiresAtMs } = grant;
    const known = this.#active.get(channelId);
    if (known?.leaseId === leaseId) {
      known.isReleased = false;
      return known;
    }
    clearTimeout(known?.expiry);
    const expiry = setTimeout(() => this.#expire(channelId), Math.max(expiresAtMs - startedAtMs, 0)).unref();
    const transmission = { leaseId, startedAtMs, isReleased: false, expiry };
    this.#active.set(channelId, transmission);
    return transmission;
  }

  #expire(channelId: string): void {
    const transmission = this.#active.get(channelId);
    if (transmission === undefined) return;
    this.#forget(channelId, transmission);
    if (!transmission.isReleased) this.#interrupt(channelId, "You have talked for too long");
    this.#release(channelId, transmission.startedAtMs);
  }

  #interrupt(channelId: string, message: string): void {
    this.#speaker.send(pttInterruptedFrame(channelId, "", message));
    this.#speaker.transmissionEnded(channelId);
  }

  #forget(channelId: string, transmission: Transmission): void {
    clearTimeout(transmission.expiry);
    if (this.#active.get(channelId) === transmission) this.#active.delete(channelId);
  }

  #release(channelId: string, startedAtMs: number): void {
    const { eventId, userId } = this.#speaker.identity;
    const { channels, client } = this.#context;
    channels.release(channelId, userId, startedAtMs, client.pauseOf(eventId));
  }

  async #refreshHolder(channelId: string): Promise<{ holder: ActiveSpeaker | undefined } | undefined> {
    try {
      const holder = (await this.#context.calls.getChannel(channelId))?.holder;
      this.#context.channels.setHolder(channelId, holder);
      return { holder };
    } catch (error) {
      this.#context.logger.warn({ channelId, reason: describeCallError(error) }, "speaker of a channel not known");
      return undefined;
    }
  }

  async #giveBack(channelId: string, holder: { userId: string; sessionId: string }): Promise<void> {
    try {
      await this.#context.calls.stopPtt(channelId, holder);
    } catch (error) {
      this.#context.logger.debug({ channelId, ...holder, reason: describeCallError(error) }, "nothing to give back");
    }
  }
}
