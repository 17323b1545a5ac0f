// A WebSocket router in one file: clients join channels and press to talk. The store decides who may do so.
//
//   SQUELCH_JWT_SECRET=… npx tsx router.mts 127.0.0.1:50051,127.0.0.1:50052 8090
//
// It supports the frames join-channel, leave-channel, ptt-start and ptt-stop. SQUELCH_TOKEN may have the router's own token
// for the replicas. `squelch router` is a complete router: it also handles emergencies, priorities, lost answers and failed
// releases.
import { randomUUID } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { jwtVerify } from "jose";
import {
  ChannelClient,
  type ClientFrame,
  channelListFrame,
  channelState,
  errorFrame,
  type FrameId,
  PermissionClient,
  PermissionRelay,
  parseClientFrame,
  pttDeniedReply,
  replyFrame,
  speakerChangedFrame,
} from "squelch-ptt/router";
import { ChannelService } from "squelch-ptt/v1/channel_service";
import { type WebSocket, WebSocketServer } from "ws";

const RENEWAL_MS = 2_000;
const LEASE = { seconds: 6n };

const [address = "127.0.0.1:50051", port = "8090"] = process.argv.slice(2);
const secret = new TextEncoder().encode(process.env.SQUELCH_JWT_SECRET ?? "");
const token = process.env.SQUELCH_TOKEN;
const client = new PermissionClient({ address, routerId: `example-${randomUUID()}`, ...(token && { token }) });
const relay = new PermissionRelay(client);
const channels = new ChannelClient(client.rpc);
const sessions = new Set<Session>();

interface Identity {
  eventId: string;
  userId: string;
  userName: string;
}

/** The connection of one client. The relay calls it when the client loses a channel or the floor. */
class Session {
  readonly sessionId = randomUUID();
  readonly #joined = new Set<string>();
  /** The lease of the client and the timer of its renewals, by channel. */
  readonly #speaking = new Map<string, { leaseId: bigint; renewing: NodeJS.Timeout }>();

  constructor(
    readonly socket: WebSocket,
    readonly identity: Identity,
  ) {}

  // The methods that the relay calls.
  send = (frame: string) => this.socket.send(frame);
  close = (code: number, reason: string) => this.socket.close(code, reason);
  joinedChannels = () => this.#joined;
  isTransmitting = (channelId: string) => this.#speaking.has(channelId);
  leaveChannel = (channelId: string) => void this.#joined.delete(channelId);
  stopTransmission(channelId: string): bigint | undefined {
    const speaking = this.#speaking.get(channelId);
    clearInterval(speaking?.renewing);
    this.#speaking.delete(channelId);
    return speaking?.leaseId;
  }

  async receive(text: string): Promise<void> {
    let id: FrameId | undefined;
    try {
      const frame = parseClientFrame(text);
      id = frame.id;
      await this.#answer(frame);
    } catch (error) {
      this.send(errorFrame(id, (error as Error).message));
    }
  }

  async #answer(frame: ClientFrame): Promise<void> {
    const state = () => ({ success: true, ...("channelId" in frame ? { channelId: frame.channelId } : {}) });
    switch (frame.type) {
      case "join-channel": {
        if (!client.permissionsOf(this.identity.eventId, this.identity.userId)?.includes(frame.channelId)) {
          throw new Error("Permission denied: not authorized for this channel");
        }
        this.#joined.add(frame.channelId);
        return this.send(replyFrame(frame.id, state()));
      }
      case "leave-channel":
        await this.#release(frame.channelId);
        this.#joined.delete(frame.channelId);
        return this.send(replyFrame(frame.id, state()));
      case "ptt-start":
        return this.#press(frame.channelId, frame.id);
      case "ptt-stop":
        await this.#release(frame.channelId);
        return this.send(replyFrame(frame.id, state()));
      default:
        throw new Error(`this router does not support ${frame.type}`);
    }
  }

  async end(): Promise<void> {
    for (const channelId of [...this.#speaking.keys()]) await this.#release(channelId);
  }

  async #press(channelId: string, id: FrameId | undefined): Promise<void> {
    const { userId, userName } = this.identity;
    const { startPtt, renewPtt } = ChannelService.method;
    const request = { channelId, userId, userName, sessionId: this.sessionId, leaseTime: LEASE };
    const { outcome } = await client.rpc.unary(startPtt, request, deadline());
    if (outcome.case !== "granted") {
      const holder = outcome.case === "denied" ? outcome.value.holder : undefined;
      const message = holder === undefined ? "The floor is not free" : `${holder.userName} is speaking`;
      return this.send(pttDeniedReply(id, { channelId, cause: "other", holder, message }));
    }
    const { leaseId } = outcome.value;
    const renewing = setInterval(() => {
      // Without a valid lease the client must not send audio, so a failed renewal stops it.
      client.rpc.unary(renewPtt, { channelId, leaseId }, deadline()).catch(() => this.stopTransmission(channelId));
    }, RENEWAL_MS);
    this.#speaking.set(channelId, { leaseId, renewing });
    this.send(replyFrame(id, { success: true, state: { channelId, currentSpeaker: userId, isBusy: true } }));
  }

  async #release(channelId: string): Promise<void> {
    const leaseId = this.stopTransmission(channelId);
    if (leaseId === undefined) return;
    await client.rpc.unary(ChannelService.method.stopPtt, { channelId, leaseId }, deadline());
  }
}

const deadline = () => ({ deadline: Date.now() + 1_500 });

channels.on("speakerChanged", ({ eventId, channelId, holder }) => {
  const frame = speakerChangedFrame(channelState(channelId, holder));
  for (const session of sessions) {
    if (session.identity.eventId === eventId && session.joinedChannels().has(channelId)) session.send(frame);
  }
});
client.start();
await client.whenFresh();

/** Returns the user of a connection, from its token. Rejects if the token is not valid. */
async function identify({ url = "" }: IncomingMessage): Promise<Identity> {
  const token = new URL(url, "ws://router").searchParams.get("token") ?? "";
  const { payload } = await jwtVerify(token, secret, { algorithms: ["HS256"] });
  const userId = String(payload.userId);
  return { eventId: String(payload.eventId), userId, userName: String(payload.userName ?? userId) };
}

const identities = new WeakMap<IncomingMessage, Identity>();
const server = new WebSocketServer({
  host: "127.0.0.1",
  port: Number(port),
  verifyClient: ({ req }, admit) => {
    identify(req).then(
      (identity) => {
        identities.set(req, identity);
        admit(true);
      },
      () => admit(false, 401, "The token is not valid"),
    );
  },
});
server.on("connection", (socket, request) => {
  const session = new Session(socket, identities.get(request) as Identity);
  const { eventId, userId } = session.identity;
  const unfollow = channels.follow(eventId);
  sessions.add(session);
  session.send(channelListFrame(client.permissionsOf(eventId, userId) ?? [], "USER", "NONE"));
  relay.register(session, { eventId, userId });
  socket.on("message", (text) => {
    void session.receive(String(text));
  });
  socket.on("close", () => {
    relay.unregister(session);
    sessions.delete(session);
    unfollow();
    session.end().catch((error: Error) => console.error("release of a floor failed:", error.message));
  });
});
server.on("listening", () => console.log(`listening on ws://127.0.0.1:${port}`));
