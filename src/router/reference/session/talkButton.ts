import type { FloorPriority } from "../../../domain/floor.js";
import {
  type ChannelStateData,
  channelState,
  FrameError,
  type FrameId,
  type PttDenial,
  pttDeniedFrame,
  pttDeniedReply,
  pttQueuedReply,
  replyFrame,
} from "../../relay/frames.js";
import { banNotice } from "../admissions.js";
import { refusalText } from "../routerCalls.js";
import type { RouterContext } from "../routerContext.js";
import { type PressOutcome, type Speaker, Transmissions } from "./transmissions.js";
import { type WaitingPress, WaitingPresses } from "./waitingPresses.js";

/** The message of a denial to a user who may not speak on the channel. */
export const NOT_AUTHORIZED = "Permission denied: not authorized for this channel";
const PAUSED = "The event is paused";
const NO_ANSWER = "Your connection did not answer";

/**
 * How long a client that waits in a queue may take to answer a ping, ms. After a grant the client must answer before the
 * lease from the queue ends (3 s).
 */
const WAITING_PATIENCE_MS = 2_000;
/** How long another connection of the user may take to answer a ping before it loses its floor to this connection, ms. */
const OTHER_PATIENCE_MS = 2_000;

/** The client at the button. */
export interface ButtonClient extends Speaker {
  hasJoined(channelId: string): boolean;
  /** Returns the state of a channel as far as this router knows it and the client may see it. */
  knownState(channelId: string): ChannelStateData;
  /** Runs a task in turn with the client's frames, unless the connection has closed. Answers its errors. */
  inTurn(id: FrameId | undefined, task: () => Promise<void>): void;
}

/** The talk button of one client: its presses, the floors that it holds and the floors that it waits for. */
export class TalkButton {
  readonly #client: ButtonClient;
  readonly #context: RouterContext;
  readonly #transmissions: Transmissions;
  readonly #waiting = new WaitingPresses((channelId) => this.#askAgain(channelId));
  /** The waiting presses that have an outcome in the store. They must not wait again. */
  readonly #ended = new WeakSet<WaitingPress>();

  constructor(client: ButtonClient, context: RouterContext) {
    this.#client = client;
    this.#context = context;
    this.#transmissions = new Transmissions(client, context);
  }

  /** The floors that the client holds. */
  get transmissions(): Transmissions {
    return this.#transmissions;
  }

  /** Answers `ptt-start` and `priority-ptt-start`. */
  async press(id: FrameId | undefined, channelId: string, priority: FloorPriority, waits = false): Promise<void> {
    if (!this.#client.hasJoined(channelId)) throw new FrameError("Join the channel before you speak on it", id);
    const { channels } = this.#context;
    const before = this.#waiting.forget(channelId);
    if (!this.#client.isPermitted(channelId)) {
      if (before !== undefined) await this.#transmissions.giveUp(channelId);
      this.#deny(id, { channelId, cause: "receiveOnly", holder: channels.holder(channelId), message: NOT_AUTHORIZED });
      return;
    }
    const outcome = await this.#ask(channelId, priority, waits);
    if (!outcome.granted && outcome.place === undefined) {
      this.#deny(id, { channelId, ...this.#describe(outcome) });
      return;
    }
    if (!this.#client.hasJoined(channelId)) {
      // The channel was revoked or the client disconnected during the call.
      await (outcome.granted ? this.#transmissions.stopQuietly([channelId]) : this.#transmissions.giveUp(channelId));
      this.#deny(id, { channelId, cause: "receiveOnly", holder: undefined, message: NOT_AUTHORIZED });
      return;
    }
    if (!outcome.granted) {
      const { queueId, position } = outcome.place;
      this.#waiting.note(channelId, { id, priority, queueId, position });
      if (id !== before?.id || position !== before?.position) this.#client.send(pttQueuedReply(id, outcome.place));
      return;
    }
    const { userId, userName } = this.#client.identity;
    const holder = { userId, userName, startedAtMs: outcome.startedAtMs };
    this.#client.send(replyFrame(id, { success: true, state: channelState(channelId, holder) }));
  }

  /**
   * Answers `ptt-stop` and `priority-ptt-stop`. Succeeds also if there is nothing to release: a client may mute its
   * microphone only after a success.
   */
  async release(id: FrameId | undefined, channelId: string): Promise<void> {
    if (this.#waiting.forget(channelId)) await this.#transmissions.giveUp(channelId);
    if (!this.#transmissions.holds(channelId)) {
      this.#client.send(replyFrame(id, { success: true, state: this.#client.knownState(channelId) }));
      return;
    }
    try {
      const wasHeld = await this.#transmissions.stop(channelId);
      const state = wasHeld ? channelState(channelId, undefined) : await this.#storedState(channelId);
      this.#client.send(replyFrame(id, { success: true, state }));
    } finally {
      // The client has stopped speaking, also if the call failed.
      this.#client.transmissionEnded(channelId);
    }
  }

  /** Ends what the client does on a channel that it leaves. Failures are logged. */
  async leave(channelId: string): Promise<void> {
    if (this.#waiting.forget(channelId)) await this.#transmissions.giveUp(channelId);
    await this.#transmissions.stopQuietly([channelId]);
  }

  /** Ends what the client does on a channel that was revoked, and denies the press that waits for it. */
  revoke(channelId: string): void {
    void this.#transmissions.stopQuietly([channelId]);
    const press = this.#waiting.forget(channelId);
    if (press === undefined) return;
    void this.#transmissions.giveUp(channelId);
    this.#deny(press.id, { channelId, cause: "receiveOnly", holder: undefined, message: NOT_AUTHORIZED });
  }

  /** Handles the end of a request in the queue: if it belongs to this client, it asks the store for the outcome. */
  requestEnded(channelId: string, queueId: bigint): void {
    const press = this.#waiting.get(channelId);
    if (press?.queueId !== queueId) return;
    this.#ended.add(press);
    this.#askAgain(channelId);
  }

  /**
   * Handles a pause, which ends all requests in the queues of the event: it denies every waiting press of this client. It
   * does not ask for the floor again, because after a pause of duration 0 the floor would be granted, and the client would
   * start to speak without a new press.
   */
  async allRequestsEnded(reason: string): Promise<void> {
    for (const channelId of this.#waiting.channelIds()) {
      const press = this.#waiting.forget(channelId);
      // An exempt user may have got the floor just before the pause.
      await this.#transmissions.giveUp(channelId);
      const holder = this.#context.channels.holder(channelId);
      this.#deny(press?.id, { channelId, cause: "retryAfter", holder, message: reason || PAUSED });
    }
  }

  /** Releases all floors and gives up all waiting presses, after the connection has closed. */
  async end(): Promise<void> {
    const waitedFor = this.#waiting.channelIds();
    for (const channelId of waitedFor) this.#waiting.forget(channelId);
    await Promise.all(waitedFor.map((channelId) => this.#transmissions.giveUp(channelId)));
    await this.#transmissions.stopQuietly();
  }

  // Takes the floor over from another connection of the user that does not answer.
  async #ask(channelId: string, priority: FloorPriority, waits: boolean): Promise<PressOutcome> {
    const outcome = await this.#transmissions.start(channelId, priority, waits);
    if (outcome.granted || !this.#isOwnUser(holderOf(outcome))) return outcome;
    const { identity } = this.#client;
    const other = this.#context.sessionsOf(identity).find((session) => session.isTransmitting(channelId));
    if (other === undefined || !(await other.yieldFloor(channelId, OTHER_PATIENCE_MS))) return outcome;
    return this.#transmissions.start(channelId, priority, waits);
  }

  // Asks again for the floor that the client waits for, if the client still answers.
  #askAgain(channelId: string): void {
    const press = this.#waiting.get(channelId);
    if (press === undefined) return;
    void this.#client.answers(WAITING_PATIENCE_MS).then((isAlive) => {
      this.#client.inTurn(press.id, async () => {
        // The press may have been answered or released in the meantime.
        if (this.#waiting.get(channelId) !== press) return;
        if (isAlive) return this.press(press.id, channelId, press.priority, !this.#ended.has(press));
        this.#waiting.forget(channelId);
        await this.#transmissions.giveUp(channelId);
        const holder = this.#context.channels.holder(channelId);
        this.#deny(press.id, { channelId, cause: "other", holder, message: NO_ANSWER });
      });
    });
  }

  #deny(id: FrameId | undefined, denial: PttDenial): void {
    this.#client.send(pttDeniedReply(id, denial));
    this.#client.send(pttDeniedFrame(denial));
  }

  // The watch may not have delivered yet that this client lost the floor.
  async #storedState(channelId: string): Promise<ChannelStateData> {
    try {
      return channelState(channelId, (await this.#context.calls.getChannel(channelId))?.holder);
    } catch (error) {
      this.#context.logger.warn({ channelId, reason: refusalText(error) }, "speaker of the channel could not be read");
      return this.#client.knownState(channelId);
    }
  }

  #isOwnUser(holder: PttDenial["holder"]): boolean {
    return holder?.userId === this.#client.identity.userId;
  }

  #describe(outcome: Denial): Omit<PttDenial, "channelId"> {
    if (outcome.cause === "lost") return { cause: "other", holder: undefined, message: "The floor was taken away" };
    const { cause, holder, pause, ban } = outcome;
    if (ban !== undefined) return { cause, holder, message: banNotice(ban) };
    switch (cause) {
      case "anotherHasPermission":
        if (this.#isOwnUser(holder)) return { cause, holder, message: "You are speaking on another connection" };
        return { cause, holder, message: `${holder?.userName ?? "Another user"} is speaking` };
      case "receiveOnly":
        return { cause, holder, message: NOT_AUTHORIZED };
      case "retryAfter":
        return { cause, holder, message: pause?.reason || PAUSED };
      case "queueFull":
        return { cause, holder, message: "Too many users are waiting to speak" };
      case "other":
        return { cause, holder, message: "The floor was denied" };
    }
  }
}

type Denial = Extract<PressOutcome, { place?: undefined; granted: false }>;

function holderOf(outcome: Extract<PressOutcome, { granted: false }>): PttDenial["holder"] {
  if (outcome.place !== undefined) return outcome.place.holder;
  return outcome.cause === "anotherHasPermission" ? outcome.holder : undefined;
}
