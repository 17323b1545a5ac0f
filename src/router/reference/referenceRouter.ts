import { randomUUID } from "node:crypto";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { type WebSocket, WebSocketServer } from "ws";
import { SquelchError } from "../../domain/errors.js";
import { checkOptions } from "../../domain/options.js";
import { type HostPort, parseHostPort } from "../../lib/hostPort.js";
import { createLogger, type Logger } from "../../lib/logger.js";
import { ChannelClient } from "../client/channelClient.js";
import { PermissionClient } from "../client/permissionClient.js";
import { PermissionRelay } from "../relay/permissionRelay.js";
import { Admissions, Refusal } from "./admissions.js";
import { ClientSockets, refuse } from "./clientSockets.js";
import {
  type ClientToken,
  readClientToken,
  SUBPROTOCOL,
  TokenError,
  type TokenRules,
  verifyClientToken,
} from "./clientToken.js";
import { LocalChannels } from "./localChannels.js";
import {
  clientOptionsOf,
  type OwnOptions,
  parseSecrets,
  REFERENCE_ROUTER_RULES,
  type ReferenceRouterOptions,
  withDefaults,
} from "./options.js";
import { RouterCalls } from "./routerCalls.js";
import type { RouterContext } from "./routerContext.js";
import { ClientSession } from "./session/clientSession.js";
import { Sessions } from "./sessions.js";

const PATH = "/ws";
const MAX_FRAME_BYTES = 64 * 1024;
const PING_INTERVAL_MS = 30_000;
/** How long clients may take to close their connections when the router stops, ms. */
const CLOSE_GRACE_MS = 1_000;
/** How long the router waits for the release of floors when it stops, ms. The floors that are left expire. */
const RELEASE_TIMEOUT_MS = 5_000;

/** A running reference router. */
export interface ReferenceRouter {
  /** The `host:port` on which it listens. Clients connect to `ws://<wsAddress>/ws`. */
  readonly wsAddress: string;
  /** Closes all connections, releases their floors and disconnects from the replicas, within a few seconds. Idempotent. */
  close(): Promise<void>;
}

/**
 * Starts a WebSocket router that uses {@link PermissionClient}, {@link PermissionRelay} and {@link ChannelClient}. It is an
 * example and a tool for development and tests: it exchanges frames but no audio.
 *
 * Clients see the speakers that the store has, so the clients of all routers see the same speaker.
 *
 * @throws SquelchError `invalidArgument` if an option is missing, unknown or not valid
 * @throws the error of Node.js if it cannot listen on the address
 */
export async function startReferenceRouter(options: ReferenceRouterOptions): Promise<ReferenceRouter> {
  checkOptions("startReferenceRouter", options, REFERENCE_ROUTER_RULES);
  const { listen: listenAddress, jwtSecret, routerId = `router-${randomUUID()}`, retryDelayMs } = options;
  const own = withDefaults(options);
  const listen = parseListenAddress(listenAddress);
  const tokenRules = { secrets: parseSecrets(jwtSecret), horizonMs: own.tokenHorizonMs };
  const logger = options.logger ?? createLogger("squelch-router");
  const client = new PermissionClient({ ...clientOptionsOf(options), routerId, logger });
  const speakers = new ChannelClient(client.rpc, { ...(retryDelayMs !== undefined && { retryDelayMs }), logger });
  const sessions = new Sessions();
  const context = createContext(client, speakers, own, routerId, logger, tokenRules, sessions);
  followFloors(context, sessions);
  const admissions = new Admissions(context);
  client.on("fresh", () => {
    for (const session of sessions.all()) void admissions.lookAgain(session);
  });

  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: MAX_FRAME_BYTES,
    handleProtocols: (offered) => (offered.has(SUBPROTOCOL) ? SUBPROTOCOL : false),
  });
  const http = createServer((_request, response) => {
    response.writeHead(426, { "content-type": "text/plain" }).end(`Connect a WebSocket to ${PATH}\n`);
  });
  const clientSockets = new ClientSockets(http, own, logger);
  http.on("upgrade", (request, socket, head) => {
    if (socket.writableEnded) return;
    socket.on("error", (error) => logger.debug({ err: error }, "client failed"));
    void identify(request)
      .then((token) =>
        admissions.admit(token.identity, () => {
          if (isClosing) throw new Refusal(503, "The router is shutting down");
          if (sessions.ofUser(token.identity).length >= own.maxSocketsPerUser) {
            throw new Refusal(429, "You have too many connections");
          }
          sockets.handleUpgrade(request, socket, head, (webSocket) => {
            clientSockets.admit(socket);
            sessions.add(new ClientSession(webSocket, token, context));
          });
        }),
      )
      .catch((error: unknown) => {
        if (!(error instanceof Refusal)) logger.error({ err: error }, "client could not be admitted");
        const { status, message } = error instanceof Refusal ? error : new Refusal(500, "Internal error");
        refuse(socket, status, message);
      });
  });

  async function identify(request: IncomingMessage): Promise<ClientToken> {
    if (request.url?.split("?", 1)[0] !== PATH) throw new Refusal(404, `Connect to ${PATH}`);
    const token = readClientToken(request);
    if (token === undefined) throw new Refusal(401, "Missing token");
    const verified = await verifyClientToken(token, tokenRules).catch((error: unknown) => {
      throw error instanceof TokenError ? new Refusal(401, error.message) : error;
    });
    if (options.eventIds?.length && !options.eventIds.includes(verified.identity.eventId)) {
      throw new Refusal(403, "This router does not serve your event");
    }
    return verified;
  }

  const pinging = setInterval(pingClients(sockets), PING_INTERVAL_MS).unref();
  let isClosing = false;
  async function closeAll(): Promise<void> {
    isClosing = true;
    clearInterval(pinging);
    const stopped = new Promise((resolve) => http.close(resolve));
    for (const webSocket of sockets.clients) webSocket.close(1001, "The router is shutting down");
    const grace = setTimeout(() => clientSockets.destroyAll(), CLOSE_GRACE_MS);
    await stopped;
    clearTimeout(grace);
    const released = Promise.all(sessions.all().map((session) => session.ended));
    await Promise.race([released, sleep(RELEASE_TIMEOUT_MS, undefined, { ref: false })]);
    speakers.close();
    await client.close();
  }

  await new Promise<void>((resolve, reject) => {
    http.once("error", reject);
    http.listen(listen, resolve);
  }).catch(async (error: unknown) => {
    clearInterval(pinging);
    await client.close();
    throw error;
  });
  client.start();
  let closed: Promise<void> | undefined;
  return {
    wsAddress: formatAddress(http.address() as AddressInfo),
    close: () => {
      closed ??= closeAll();
      return closed;
    },
  };
}

function createContext(
  client: PermissionClient,
  speakers: ChannelClient,
  own: Required<OwnOptions>,
  routerId: string,
  logger: Logger,
  tokenRules: TokenRules,
  sessions: Sessions,
): RouterContext {
  const losses = new Map<string, number>();
  const countLoss = ({ eventId }: { eventId: string }) => void losses.set(eventId, (losses.get(eventId) ?? 0) + 1);
  client.on("paused", countLoss);
  client.on("floorRevoked", countLoss);
  return {
    client,
    speakers,
    relay: new PermissionRelay(client, { cut: own.cut, cutAfterMs: own.cutAfterMs, logger }),
    channels: new LocalChannels(),
    calls: new RouterCalls(client.rpc, routerId),
    logger,
    limits: own,
    tokenRules,
    sessionsOf: (user) => sessions.ofUser(user),
    floorLosses: (eventId) => losses.get(eventId) ?? 0,
  };
}

// These listeners are registered after those of the relay, so clients first learn that they lost a floor.
function followFloors({ client, speakers, channels }: RouterContext, sessions: Sessions): void {
  speakers.on("speakerChanged", ({ eventId, channelId, holder }) => channels.setHolder(eventId, channelId, holder));
  // A pause gives its broadcaster new leases, also for floors that the broadcaster held before. They end with the pause.
  client.on("paused", ({ eventId, pause: { broadcaster } }) => {
    if (broadcaster === undefined) return;
    const { userId } = broadcaster;
    for (const session of sessions.ofUser({ eventId, userId })) void session.renewTransmissions();
  });
  client.on("resumed", ({ eventId, pause }) => {
    if (pause?.broadcaster === undefined) return;
    const { userId } = pause.broadcaster;
    for (const session of sessions.ofUser({ eventId, userId })) void session.verifyTransmissions();
  });
  // A waiting request is repeated every 2 s. These events show earlier that it has an outcome.
  client.on("floorGranted", ({ eventId, speaker: { userId }, channelId, queueId }) => {
    for (const session of sessions.ofUser({ eventId, userId })) session.requestEnded(channelId, queueId);
  });
  client.on("floorDenied", ({ eventId, userId, channelId, queueId }) => {
    for (const session of sessions.ofUser({ eventId, userId })) session.requestEnded(channelId, queueId);
  });
  client.on("paused", ({ eventId, pause: { reason } }) => {
    for (const session of sessions.ofEvent(eventId)) session.allRequestsEnded(reason);
  });
  // A snapshot does not show floors that were lost before it.
  client.on("resynced", ({ eventId }) => {
    for (const session of sessions.ofEvent(eventId)) void session.verifyTransmissions();
  });
}

// Pings all clients. Closes the connection of a client that has not answered the previous ping.
function pingClients(sockets: WebSocketServer): () => void {
  const unanswered = new WeakSet<WebSocket>();
  return () => {
    for (const webSocket of sockets.clients) {
      // The answer to a ping waits behind frames that the router has not read yet.
      if (webSocket.isPaused) continue;
      if (unanswered.has(webSocket)) {
        webSocket.terminate();
        continue;
      }
      unanswered.add(webSocket);
      webSocket.once("pong", () => unanswered.delete(webSocket));
      webSocket.ping();
    }
  };
}

function parseListenAddress(address: string): HostPort {
  const parsed = parseHostPort(address);
  if (parsed === undefined)
    throw new SquelchError("invalidArgument", `listen: "${address}" is not a valid address, give host:port`);
  return parsed;
}

function formatAddress({ address, family, port }: AddressInfo): string {
  return family === "IPv6" ? `[${address}]:${port}` : `${address}:${port}`;
}
