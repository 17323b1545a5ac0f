import { randomUUID } from "node:crypto";
import { WebSocket } from "ws";
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
  parseClientFrame,
  pongFrames,
  pttInterruptedFrame,
  replyFrame,
  TOKEN_EXPIRED_CODE,
} from "../../relay/frames.js";
import type { RelaySocket } from "../../relay/permissionRelay.js";
import { type ClientIdentity, type ClientToken, isDispatcher, TokenError, verifyClientToken } from "../clientToken.js";
import type { ChannelMember } from "../localChannels.js";
import { isRefusal, refusalText } from "../routerCalls.js";
import type { OtherSession, RouterContext } from "../routerContext.js";
import { Broadcasts } from "./broadcasts.js";
import { Inbox } from "./inbox.js";
import { Pulse } from "./pulse.js";
import { type ButtonClient, NOT_AUTHORIZED, TalkButton } from "./talkButton.js";
import { TokenLifetime } from "./tokenLifetime.js";
import { NOT_PERMITTED } from "./transmissions.js";

/** A client with more unread bytes than this is disconnected. */
const MAX_BUFFERED_BYTES = 1024 * 1024;
/** How long a client that was disconnected by force may take to close its connection, ms. */
const CLOSE_GRACE_MS = 1_000;

/** How long a join waits for the current speakers of the event, ms. */
const SPEAKERS_PATIENCE_MS = 1_000;

const NOT_A_DISPATCHER = "Permission denied: only dispatchers may speak with priority";

/** The connection of one client. It answers the client's frames one after another, and the relay calls it for changes. */
export class ClientSession implements RelaySocket, ChannelMember, ButtonClient, OtherSession {
  readonly identity: ClientIdentity;
  readonly sessionId = randomUUID();
  /** Resolves when the socket has closed and the session has released its floors. */
  readonly ended: Promise<void>;
  readonly #socket: WebSocket;
  readonly #context: RouterContext;
  readonly #joined = new Set<string>();
  readonly #inbox: Inbox;
  readonly #pulse: Pulse;
  readonly #button: TalkButton;
  readonly #broadcasts: Broadcasts;
  readonly #lifetime: TokenLifetime;
  readonly #unfollow: () => void;

  /** Sends the channel list and registers with the relay. The session stays registered until the socket closes. */
  constructor(socket: WebSocket, { identity, endsAtMs }: ClientToken, context: RouterContext) {
    this.#socket = socket;
    this.identity = identity;
    this.#context = context;
    this.#inbox = new Inbox(socket, (text) => this.#answer(text));
    this.#pulse = new Pulse(socket);
    this.#button = new TalkButton(this, context);
    this.#broadcasts = new Broadcasts(this, context);
    this.#lifetime = new TokenLifetime(endsAtMs, () => this.close(TOKEN_EXPIRED_CODE, "Your token has expired"));
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
    this.#inbox.close();
    // The client may not answer the close frame, so the socket is destroyed after a grace time.
    const isForced = code === FORCE_DISCONNECT_CODE || code === TOKEN_EXPIRED_CODE;
    if (isForced) setTimeout(() => this.#socket.terminate(), CLOSE_GRACE_MS).unref();
  }

  joinedChannels(): Iterable<string> {
    return this.#joined;
  }

  hasJoined(channelId: string): boolean {
    return this.#joined.has(channelId);
  }

  isPermitted(channelId: string): boolean {
    const { eventId, userId } = this.identity;
    return this.#context.client.permissionsOf(eventId, userId)?.includes(channelId) ?? false;
  }

  // The speaker of a channel that the client may not join stays hidden.
  knownState(channelId: string): ChannelStateData {
    const { channels, speakers } = this.#context;
    if (this.#joined.has(channelId)) return channels.state(channelId);
    const { eventId } = this.identity;
    return channelState(channelId, this.isPermitted(channelId) ? speakers.speakerOf(eventId, channelId) : undefined);
  }

  answers(patienceMs: number): Promise<boolean> {
    return this.#pulse.answers(patienceMs);
  }

  isTransmitting(channelId: string, startedAtMs?: number): boolean {
    return this.#button.transmissions.isTransmitting(channelId, startedAtMs);
  }

  stopTransmission(channelId: string): void {
    this.#button.transmissions.lose(channelId);
  }

  transmissionEnded(channelId: string): void {
    this.#context.relay.transmissionEnded(this, channelId);
  }

  async yieldFloor(channelId: string, patienceMs: number): Promise<boolean> {
    if (await this.answers(patienceMs)) return false;
    await this.#button.transmissions.endUnanswered(channelId);
    return true;
  }

  leaveChannel(channelId: string): void {
    if (!this.#joined.delete(channelId)) return;
    if (this.isTransmitting(channelId)) {
      this.send(pttInterruptedFrame(channelId, "", NOT_PERMITTED));
    }
    this.#button.revoke(channelId);
    this.#context.channels.leave(channelId, this, "user-left");
  }

  /** Handles the end of a request in the queue, which may belong to another client. */
  requestEnded(channelId: string, queueId: bigint): void {
    this.#button.requestEnded(channelId, queueId);
  }

  /** Handles a pause, which ends all requests in the queues of the event. */
  allRequestsEnded(reason: string): void {
    this.#inbox.run(() => this.#button.allRequestsEnded(reason));
  }

  /** Compares the floors that the client holds with the store, and ends those that it has lost. */
  async verifyTransmissions(): Promise<void> {
    await this.#button.transmissions.verifyAll();
  }

  /** Asks again for the floors that the client holds, after the store has replaced their leases. */
  async renewTransmissions(): Promise<void> {
    await this.#button.transmissions.renewAll();
  }

  inTurn(id: FrameId | undefined, task: () => Promise<void>): void {
    this.#inbox.run(async () => {
      if (this.#socket.readyState === WebSocket.OPEN) await this.#try(id, task);
    });
  }

  async #end(): Promise<void> {
    this.#lifetime.end();
    this.#context.relay.unregister(this);
    for (const channelId of this.#joined) this.#context.channels.leave(channelId, this, "user-disconnected");
    this.#joined.clear();
    this.#unfollow();
    await this.#inbox.done;
    await this.#button.end();
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
        return this.#button.press(frame.id, frame.channelId, "normal", frame.queue);
      case "priority-ptt-start":
        if (!isDispatcher(this.identity)) throw new FrameError(NOT_A_DISPATCHER, frame.id);
        return this.#button.press(frame.id, frame.channelId, "dispatch", frame.queue);
      case "ptt-stop":
      case "priority-ptt-stop":
        return this.#button.release(frame.id, frame.channelId);
      case "emergency-broadcast-start":
        return this.#broadcasts.start(frame);
      case "emergency-broadcast-stop":
        return this.#broadcasts.stop(frame.id, frame.pauseId);
      case "renew-token":
        return this.#renewToken(frame.id, frame.token);
      case "ping":
        for (const pong of pongFrames(frame.id)) this.send(pong);
        return;
      case "force-disconnect":
        return this.#forceDisconnect(frame.id, frame.targetUserId, frame.reason);
    }
  }

  async #join(id: FrameId | undefined, channelId: string): Promise<void> {
    const { calls, channels, client, speakers } = this.#context;
    const { eventId } = this.identity;
    if (!this.isPermitted(channelId)) throw new FrameError(NOT_AUTHORIZED, id);
    const stored = await calls.getChannel(channelId);
    if (stored === undefined) await calls.adoptChannel(channelId, eventId);
    else if (stored.eventId !== eventId) throw new FrameError("The channel belongs to another event", id);
    this.#checkLimits(id, channelId);
    const isCurrent = await speakers.whenCurrent(eventId, SPEAKERS_PATIENCE_MS);
    // The socket and the permissions may have changed during the calls.
    if (this.#socket.readyState !== WebSocket.OPEN) return;
    if (!this.isPermitted(channelId)) throw new FrameError(NOT_AUTHORIZED, id);
    const holder = isCurrent ? speakers.speakerOf(eventId, channelId) : stored?.holder;
    if (this.#joined.has(channelId)) channels.setHolder(eventId, channelId, holder);
    else channels.join(channelId, this, holder);
    this.#joined.add(channelId);
    const userCount = channels.userCount(channelId);
    this.send(replyFrame(id, { success: true, channelId, state: channels.state(channelId), userCount }));
    const pause = client.pauseOf(eventId);
    if (pause) this.send(emergencyFrame("start", pause, channelId));
  }

  #checkLimits(id: FrameId | undefined, channelId: string): void {
    if (this.#joined.has(channelId)) return;
    const { channels, limits } = this.#context;
    const maxChannels = isDispatcher(this.identity) ? limits.maxChannelsPerDispatcher : limits.maxChannelsPerSocket;
    if (this.#joined.size >= maxChannels) {
      throw new FrameError(`You have joined ${maxChannels} channels already; leave one first`, id);
    }
    const isNew = !channels.hasUser(channelId, this.identity.userId);
    if (isNew && channels.userCount(channelId) >= limits.maxUsersPerChannel) {
      throw new FrameError(`The channel is full: it has ${limits.maxUsersPerChannel} users`, id);
    }
  }

  async #leave(id: FrameId | undefined, channelId: string): Promise<void> {
    await this.#button.leave(channelId);
    this.#joined.delete(channelId);
    this.#context.channels.leave(channelId, this, "user-left");
    this.send(replyFrame(id, { success: true, channelId, state: this.knownState(channelId) }));
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
    if (targetUserId === this.identity.userId) throw new FrameError("You cannot disconnect yourself", id);
    await this.#context.calls.disconnectUser(this.identity, targetUserId, reason);
    this.send(replyFrame(id, { success: true, targetUserId }));
  }
}
