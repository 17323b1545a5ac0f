import { randomUUID } from "node:crypto";
import { type RawData, WebSocket } from "ws";
import type { FloorPriority } from "../../domain/floor.js";
import {
  type ChannelStateData,
  type ClientFrame,
  channelListFrame,
  channelState,
  emergencyFrame,
  errorFrame,
  FORCE_DISCONNECT_CODE,
  FrameError,
  type FrameId,
  type PttDenial,
  parseClientFrame,
  pongFrame,
  pttDeniedFrame,
  pttDeniedReply,
  pttInterruptedFrame,
  pttQueuedReply,
  replyFrame,
  TOKEN_EXPIRED_CODE,
} from "../relay/frames.js";
import type { RelaySocket } from "../relay/permissionRelay.js";
import { banNotice } from "./admissions.js";
import { Broadcasts } from "./broadcasts.js";
import { type ClientIdentity, type ClientToken, isDispatcher, TokenError, verifyClientToken } from "./clientToken.js";
import type { ChannelMember } from "./localChannels.js";
import { isRefusal, refusalText } from "./routerCalls.js";
import type { RouterContext } from "./routerContext.js";
import { TokenLifetime } from "./tokenLifetime.js";
import { type PressOutcome, type Speaker, Transmissions } from "./transmissions.js";
import { WaitingPresses } from "./waitingPresses.js";

/** A client with more unread bytes than this is disconnected. */
const MAX_BUFFERED_BYTES = 1024 * 1024;
/** A client with more unanswered frames than this is disconnected. */
const MAX_WAITING_FRAMES = 64;
/** How long a client that was disconnected by force may take to close its connection, ms. */
const CLOSE_GRACE_MS = 1_000;

/** How long a join waits for the current speakers of the event, ms. */
const SPEAKERS_PATIENCE_MS = 1_000;

const NOT_A_DISPATCHER = "Permission denied: only dispatchers may speak with priority";
const PAUSED = "The event is paused";
const NOT_AUTHORIZED = "Permission denied: not authorized for this channel";

/** The connection of one client. It answers the client's frames one after another, and the relay calls it for changes. */
export class ClientSession implements RelaySocket, ChannelMember, Speaker {
  readonly identity: ClientIdentity;
  readonly sessionId = randomUUID();
  /** Resolves when the socket has closed and the session has released its floors. */
  readonly ended: Promise<void>;
  readonly #socket: WebSocket;
  readonly #context: RouterContext;
  readonly #joined = new Set<string>();
  readonly #transmissions: Transmissions;
  readonly #broadcasts: Broadcasts;
  readonly #lifetime: TokenLifetime;
  readonly #waiting = new WaitingPresses((channelId) => this.#askAgain(channelId));
  readonly #unfollow: () => void;
  #waitingFrames = 0;
  #work: Promise<void> = Promise.resolve();

  /** Sends the channel list and registers with the relay. The session stays registered until the socket closes. */
  constructor(socket: WebSocket, { identity, endsAtMs }: ClientToken, context: RouterContext) {
    this.#socket = socket;
    this.identity = identity;
    this.#context = context;
    this.#transmissions = new Transmissions(this, context);
    this.#broadcasts = new Broadcasts(this, context);
    this.#lifetime = new TokenLifetime(endsAtMs, () => this.close(TOKEN_EXPIRED_CODE, "Your token has expired"));
    socket.on("message", (data, isBinary) => this.#receive(data, isBinary));
    socket.on("error", (error) => this.#context.logger.debug({ err: error, userId: identity.userId }, "client failed"));
    this.ended = new Promise((resolve) => {
      socket.on("close", () => void this.#end().then(resolve));
    });
    const { eventId, userId, role, globalRole } = identity;
    this.#unfollow = context.speakers.follow(eventId);
    this.send(channelListFrame(context.client.permissionsOf(eventId, userId) ?? [], role, globalRole));
    context.relay.register(this, { eventId, userId });
  }

  send(frame: string): void {
    if (this.#socket.readyState !== WebSocket.OPEN) return;
    this.#socket.send(frame);
    if (this.#socket.bufferedAmount <= MAX_BUFFERED_BYTES) return;
    this.#context.logger.warn({ userId: this.identity.userId }, "client reads too slowly, disconnecting it");
    this.close(1013, "You read too slowly");
  }

  close(code: number, reason: string): void {
    this.#socket.close(code, reason);
    // The client may not answer the close frame, so the socket is destroyed after a grace time.
    const isForced = code === FORCE_DISCONNECT_CODE || code === TOKEN_EXPIRED_CODE;
    if (isForced) setTimeout(() => this.#socket.terminate(), CLOSE_GRACE_MS).unref();
  }

  joinedChannels(): Iterable<string> {
    return this.#joined;
  }

  isTransmitting(channelId: string, startedAtMs?: number): boolean {
    return this.#transmissions.isTransmitting(channelId, startedAtMs);
  }

  stopTransmission(channelId: string): void {
    this.#transmissions.lose(channelId);
  }

  transmissionEnded(channelId: string): void {
    this.#context.relay.transmissionEnded(this, channelId);
  }

  leaveChannel(channelId: string): void {
    if (!this.#joined.delete(channelId)) return;
    if (this.isTransmitting(channelId)) {
      this.send(pttInterruptedFrame(channelId, "", "You may no longer speak on this channel"));
    }
    void this.#transmissions.stopQuietly([channelId]);
    const press = this.#waiting.forget(channelId);
    if (press !== undefined) {
      void this.#transmissions.giveUp(channelId);
      this.#deny(press.id, { channelId, cause: "receiveOnly", holder: undefined, message: NOT_AUTHORIZED });
    }
    this.#context.channels.leave(channelId, this, "user-left");
  }

  /** Handles the end of a request in the queue: if it belongs to this client, it asks the store for the outcome. */
  requestEnded(channelId: string, queueId: bigint): void {
    if (this.#waiting.get(channelId)?.queueId === queueId) this.#askAgain(channelId, true);
  }

  /**
   * Handles a pause, which ends all requests in the queues of the event: it denies every waiting press of this client. It
   * does not ask for the floor again, because after a pause of duration 0 the floor would be granted, and the client would
   * start to speak without a new press.
   */
  allRequestsEnded(reason: string): void {
    this.#work = this.#work.then(async () => {
      for (const channelId of this.#waiting.channelIds()) {
        const press = this.#waiting.forget(channelId);
        // An exempt user may have got the floor just before the pause.
        await this.#transmissions.giveUp(channelId);
        const holder = this.#context.channels.holder(channelId);
        this.#deny(press?.id, { channelId, cause: "retryAfter", holder, message: reason || PAUSED });
      }
    });
  }

  /** Compares the floors that the client holds with the store, and ends those that it has lost. */
  async verifyTransmissions(): Promise<void> {
    await this.#transmissions.verifyAll();
  }

  /** Asks again for the floors that the client holds, after the store has replaced their leases. */
  async renewTransmissions(): Promise<void> {
    await this.#transmissions.renewAll();
  }

  #receive(data: RawData, isBinary: boolean): void {
    if (this.#waitingFrames >= MAX_WAITING_FRAMES) {
      this.close(1008, "Too many requests");
      return;
    }
    this.#waitingFrames += 1;
    this.#work = this.#work.then(async () => {
      this.#waitingFrames -= 1;
      if (this.#socket.readyState === WebSocket.OPEN) await this.#answer(isBinary ? "" : String(data));
    });
  }

  // Runs in turn with the client's frames. A request that has ended must not wait again.
  #askAgain(channelId: string, hasEnded = false): void {
    this.#work = this.#work.then(async () => {
      const press = this.#waiting.get(channelId);
      if (press === undefined || this.#socket.readyState !== WebSocket.OPEN) return;
      await this.#try(press.id, () => this.#startPtt(press.id, channelId, press.priority, !hasEnded));
    });
  }

  async #end(): Promise<void> {
    this.#lifetime.end();
    this.#context.relay.unregister(this);
    for (const channelId of this.#joined) this.#context.channels.leave(channelId, this, "user-disconnected");
    this.#joined.clear();
    this.#unfollow();
    await this.#work;
    const waitedFor = this.#waiting.channelIds();
    for (const channelId of waitedFor) this.#waiting.forget(channelId);
    await Promise.all(waitedFor.map((channelId) => this.#transmissions.giveUp(channelId)));
    await this.#transmissions.stopQuietly();
  }

  async #answer(text: string): Promise<void> {
    let frame: ClientFrame;
    try {
      frame = parseClientFrame(text);
    } catch (error) {
      if (!(error instanceof FrameError)) throw error;
      this.send(errorFrame(error.id, error.message));
      return;
    }
    await this.#try(frame.id, () => this.#handle(frame));
  }

  async #try(id: FrameId | undefined, act: () => Promise<void> | void): Promise<void> {
    try {
      await act();
    } catch (error) {
      if (error instanceof FrameError) {
        this.send(errorFrame(error.id, error.message));
        return;
      }
      const { eventId, userId } = this.identity;
      if (!isRefusal(error)) this.#context.logger.warn({ err: error, eventId, userId }, "client request failed");
      this.send(errorFrame(id, refusalText(error)));
    }
  }

  async #handle(frame: ClientFrame): Promise<void> {
    switch (frame.type) {
      case "join-channel":
        return this.#join(frame.id, frame.channelId);
      case "leave-channel":
        return this.#leave(frame.id, frame.channelId);
      case "ptt-start":
        return this.#startPtt(frame.id, frame.channelId, "normal", frame.queue);
      case "priority-ptt-start":
        if (!isDispatcher(this.identity)) throw new FrameError(NOT_A_DISPATCHER, frame.id);
        return this.#startPtt(frame.id, frame.channelId, "dispatch", frame.queue);
      case "ptt-stop":
      case "priority-ptt-stop":
        return this.#stopPtt(frame.id, frame.channelId);
      case "emergency-broadcast-start":
        return this.#broadcasts.start(frame.id, frame.replacePauseId);
      case "emergency-broadcast-stop":
        return this.#broadcasts.stop(frame.id, frame.pauseId);
      case "renew-token":
        return this.#renewToken(frame.id, frame.token);
      case "ping":
        return this.send(pongFrame(frame.id));
      case "force-disconnect":
        return this.#forceDisconnect(frame.id, frame.targetUserId, frame.reason);
    }
  }

  #isPermitted(channelId: string): boolean {
    const { eventId, userId } = this.identity;
    return this.#context.client.permissionsOf(eventId, userId)?.includes(channelId) ?? false;
  }

  async #join(id: FrameId | undefined, channelId: string): Promise<void> {
    const { calls, channels, client, speakers } = this.#context;
    const { eventId } = this.identity;
    if (!this.#isPermitted(channelId)) throw new FrameError(NOT_AUTHORIZED, id);
    const stored = await calls.getChannel(channelId);
    if (stored === undefined) await calls.adoptChannel(channelId, eventId);
    else if (stored.eventId !== eventId) throw new FrameError("The channel belongs to another event", id);
    const isCurrent = await speakers.whenCurrent(eventId, SPEAKERS_PATIENCE_MS);
    // The socket and the permissions may have changed during the calls.
    if (this.#socket.readyState !== WebSocket.OPEN) return;
    if (!this.#isPermitted(channelId)) throw new FrameError(NOT_AUTHORIZED, id);
    const holder = isCurrent ? speakers.speakerOf(eventId, channelId) : stored?.holder;
    if (this.#joined.has(channelId)) channels.setHolder(eventId, channelId, holder);
    else channels.join(channelId, this, holder);
    this.#joined.add(channelId);
    this.send(replyFrame(id, { success: true, channelId, state: channels.state(channelId) }));
    const pause = client.pauseOf(eventId);
    if (pause) this.send(emergencyFrame("start", pause, channelId));
  }

  async #leave(id: FrameId | undefined, channelId: string): Promise<void> {
    if (this.#waiting.forget(channelId)) await this.#transmissions.giveUp(channelId);
    await this.#transmissions.stopQuietly([channelId]);
    this.#joined.delete(channelId);
    this.#context.channels.leave(channelId, this, "user-left");
    this.send(replyFrame(id, { success: true, channelId, state: this.#knownState(channelId) }));
  }

  async #startPtt(id: FrameId | undefined, channelId: string, priority: FloorPriority, waits = false): Promise<void> {
    if (!this.#joined.has(channelId)) throw new FrameError("Join the channel before you speak on it", id);
    const { channels } = this.#context;
    const { userId, userName } = this.identity;
    const before = this.#waiting.forget(channelId);
    if (!this.#isPermitted(channelId)) {
      if (before !== undefined) await this.#transmissions.giveUp(channelId);
      this.#deny(id, { channelId, cause: "receiveOnly", holder: channels.holder(channelId), message: NOT_AUTHORIZED });
      return;
    }
    const outcome = await this.#transmissions.start(channelId, priority, waits);
    if (!outcome.granted && outcome.place === undefined) {
      this.#deny(id, { channelId, ...describeDenial(outcome) });
      return;
    }
    if (!this.#joined.has(channelId)) {
      // The channel was revoked or the client disconnected during the call.
      await (outcome.granted ? this.#transmissions.stopQuietly([channelId]) : this.#transmissions.giveUp(channelId));
      this.#deny(id, { channelId, cause: "receiveOnly", holder: undefined, message: NOT_AUTHORIZED });
      return;
    }
    if (!outcome.granted) {
      const { queueId, position } = outcome.place;
      this.#waiting.note(channelId, { id, priority, queueId, position });
      if (id !== before?.id || position !== before?.position) this.send(pttQueuedReply(id, outcome.place));
      return;
    }
    const holder = { userId, userName, startedAtMs: outcome.startedAtMs };
    this.send(replyFrame(id, { success: true, state: channelState(channelId, holder) }));
  }

  #deny(id: FrameId | undefined, denial: PttDenial): void {
    this.send(pttDeniedReply(id, denial));
    this.send(pttDeniedFrame(denial));
  }

  // Succeeds also if there is nothing to release: a client may mute its microphone only after a success.
  async #stopPtt(id: FrameId | undefined, channelId: string): Promise<void> {
    if (this.#waiting.forget(channelId)) await this.#transmissions.giveUp(channelId);
    if (!this.#transmissions.holds(channelId)) {
      this.send(replyFrame(id, { success: true, state: this.#knownState(channelId) }));
      return;
    }
    try {
      const wasHeld = await this.#transmissions.stop(channelId);
      const state = wasHeld ? channelState(channelId, undefined) : await this.#storedState(channelId);
      this.send(replyFrame(id, { success: true, state }));
    } finally {
      // The client has stopped speaking, also if the call failed.
      this.transmissionEnded(channelId);
    }
  }

  // The speaker of a channel that the client may not join stays hidden.
  #knownState(channelId: string): ChannelStateData {
    const { channels, speakers } = this.#context;
    if (this.#joined.has(channelId)) return channels.state(channelId);
    const { eventId } = this.identity;
    return channelState(channelId, this.#isPermitted(channelId) ? speakers.speakerOf(eventId, channelId) : undefined);
  }

  // The watch may not have delivered yet that this client lost the floor.
  async #storedState(channelId: string): Promise<ChannelStateData> {
    try {
      return channelState(channelId, (await this.#context.calls.getChannel(channelId))?.holder);
    } catch (error) {
      this.#context.logger.warn({ channelId, reason: refusalText(error) }, "speaker of the channel could not be read");
      return this.#knownState(channelId);
    }
  }

  // The session keeps its user and event. The name and the roles are those of the new token.
  async #renewToken(id: FrameId | undefined, token: string): Promise<void> {
    const { identity, endsAtMs } = await verifyClientToken(token, this.#context.tokenRules).catch((error: unknown) => {
      throw error instanceof TokenError ? new FrameError(error.message, id) : error;
    });
    const { userId, eventId, userName, role, globalRole } = identity;
    if (userId !== this.identity.userId || eventId !== this.identity.eventId) {
      throw new FrameError("The token is for another user or another event; connect again to use it", id);
    }
    if (this.#socket.readyState !== WebSocket.OPEN) return;
    Object.assign(this.identity, { userName, role, globalRole });
    this.#lifetime.extend(endsAtMs);
    this.send(replyFrame(id, { success: true, expiresAt: endsAtMs }));
  }

  async #forceDisconnect(id: FrameId | undefined, targetUserId: string, reason: string): Promise<void> {
    if (!isDispatcher(this.identity)) throw new FrameError("Permission denied: only dispatchers may disconnect", id);
    await this.#context.calls.disconnectUser(this.identity, targetUserId, reason);
    this.send(replyFrame(id, { success: true, targetUserId }));
  }
}

function describeDenial(
  outcome: Extract<PressOutcome, { place?: undefined; granted: false }>,
): Omit<PttDenial, "channelId"> {
  if (outcome.cause === "lost") return { cause: "other", holder: undefined, message: "The floor was taken away" };
  const { cause, holder, pause, ban } = outcome;
  if (ban !== undefined) return { cause, holder, message: banNotice(ban) };
  switch (cause) {
    case "anotherHasPermission":
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
