import { randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, STATUS_CODES } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { type WebSocket, WebSocketServer } from "ws";
import { SquelchError } from "../../domain/errors.js";
import {
  checkOptions,
  DURATION_MS,
  type OptionRule,
  type OptionRules,
  oneOf,
  required,
  TEXT,
  TEXTS,
} from "../../domain/options.js";
import { type HostPort, parseHostPort } from "../../lib/hostPort.js";
import { createLogger, type Logger } from "../../lib/logger.js";
import { ChannelClient } from "../client/channelClient.js";
import { PERMISSION_CLIENT_RULES, PermissionClient, type PermissionClientOptions } from "../client/permissionClient.js";
import { type CutPolicy, PermissionRelay } from "../relay/permissionRelay.js";
import { Admissions, Refusal } from "./admissions.js";
import { ClientSession } from "./clientSession.js";
import {
  type ClientToken,
  readClientToken,
  SUBPROTOCOL,
  TokenError,
  type TokenRules,
  verifyClientToken,
} from "./clientToken.js";
import { LocalChannels } from "./localChannels.js";
import { RouterCalls } from "./routerCalls.js";
import type { RouterContext } from "./routerContext.js";

const PATH = "/ws";
const MAX_FRAME_BYTES = 64 * 1024;
const PING_INTERVAL_MS = 30_000;
const CLOSE_GRACE_MS = 1_000;
const DEFAULT_TOKEN_HORIZON_MS = 24 * 60 * 60 * 1_000;

/** The options of a reference router: those of {@link PermissionClient}, and those for its own clients. */
export interface ReferenceRouterOptions extends Omit<PermissionClientOptions, "routerId"> {
  /** The `host:port` on which it listens for clients. Port 0 picks a free port. */
  listen: string;
  /** The secret that verifies the tokens of clients (HS256). With several, each verifies, so that secrets can be rotated. */
  jwtSecret: string | readonly string[];
  /** How far ahead the end of a client's token may lie, ms. Default: 86,400,000 (24 h). */
  tokenHorizonMs?: number;
  /** The id of this router in the logs and metrics of the replicas. Default: a random id. */
  routerId?: string;
  /** When a speaking user who lost the channel is removed from it. Default: `afterTransmission`. */
  cut?: CutPolicy;
}

const TEXT_OR_TEXTS: OptionRule = {
  expected: "a string or an array of strings",
  isValid: (value) => TEXT.isValid(value) || TEXTS.isValid(value),
};

const OPTION_RULES: OptionRules<ReferenceRouterOptions> = {
  ...PERMISSION_CLIENT_RULES,
  routerId: TEXT,
  listen: required({ ...TEXT, expected: "host:port" }),
  jwtSecret: required(TEXT_OR_TEXTS),
  tokenHorizonMs: DURATION_MS,
  cut: oneOf("atOnce", "afterTransmission"),
};

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
  checkOptions("startReferenceRouter", options, OPTION_RULES);
  const { jwtSecret, tokenHorizonMs = DEFAULT_TOKEN_HORIZON_MS, ...others } = options;
  const { listen: listenAddress, cut = "afterTransmission", ...clientOptions } = others;
  const { routerId = `router-${randomUUID()}`, retryDelayMs } = clientOptions;
  const listen = parseListenAddress(listenAddress);
  const tokenRules = { secrets: parseSecrets([jwtSecret].flat()), horizonMs: tokenHorizonMs };
  const logger = options.logger ?? createLogger("squelch-router");
  const client = new PermissionClient({ ...clientOptions, routerId, logger });
  const speakers = new ChannelClient(client.rpc, { ...(retryDelayMs !== undefined && { retryDelayMs }), logger });
  const context = createContext(client, speakers, cut, routerId, logger, tokenRules);
  const sessions = new Set<ClientSession>();
  followFloors(context, sessions);
  const admissions = new Admissions(context);
  client.on("fresh", () => {
    for (const session of sessions) void admissions.lookAgain(session);
  });

  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: MAX_FRAME_BYTES,
    handleProtocols: (offered) => (offered.has(SUBPROTOCOL) ? SUBPROTOCOL : false),
  });
  const http = createServer((_request, response) => {
    response.writeHead(426, { "content-type": "text/plain" }).end(`Connect a WebSocket to ${PATH}\n`);
  });
  http.on("upgrade", (request, socket, head) => {
    socket.on("error", (error) => logger.debug({ err: error }, "client failed"));
    void identify(request)
      .then((token) =>
        admissions.admit(token.identity, () => {
          if (isClosing) throw new Refusal(503, "The router is shutting down");
          sockets.handleUpgrade(request, socket, head, (webSocket) => open(webSocket, token));
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

  function open(webSocket: WebSocket, token: ClientToken): void {
    const session = new ClientSession(webSocket, token, context);
    sessions.add(session);
    void session.ended.then(() => sessions.delete(session));
  }

  const pinging = setInterval(pingClients(sockets), PING_INTERVAL_MS).unref();
  let isClosing = false;
  async function closeAll(): Promise<void> {
    isClosing = true;
    clearInterval(pinging);
    const stopped = new Promise((resolve) => http.close(resolve));
    for (const webSocket of sockets.clients) webSocket.close(1001, "The router is shutting down");
    const grace = setTimeout(() => {
      for (const webSocket of sockets.clients) webSocket.terminate();
      http.closeAllConnections();
    }, CLOSE_GRACE_MS);
    await stopped;
    await Promise.all([...sessions].map((session) => session.ended));
    clearTimeout(grace);
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
  cut: CutPolicy,
  routerId: string,
  logger: Logger,
  tokenRules: TokenRules,
): RouterContext {
  const losses = new Map<string, number>();
  const countLoss = ({ eventId }: { eventId: string }) => void losses.set(eventId, (losses.get(eventId) ?? 0) + 1);
  client.on("paused", countLoss);
  client.on("floorRevoked", countLoss);
  return {
    client,
    speakers,
    relay: new PermissionRelay(client, { cut, logger }),
    channels: new LocalChannels(),
    calls: new RouterCalls(client.rpc, routerId),
    logger,
    tokenRules,
    floorLosses: (eventId) => losses.get(eventId) ?? 0,
  };
}

// These listeners are registered after those of the relay, so clients first learn that they lost a floor.
function followFloors({ client, speakers, channels }: RouterContext, sessions: Set<ClientSession>): void {
  speakers.on("speakerChanged", ({ eventId, channelId, holder }) => channels.setHolder(eventId, channelId, holder));
  const sessionsOf = (eventId: string, userId?: string) =>
    [...sessions].filter(({ identity }) => {
      return identity.eventId === eventId && (userId === undefined || identity.userId === userId);
    });
  // A pause gives its broadcaster new leases, also for floors that the broadcaster held before. They end with the pause.
  client.on("paused", ({ eventId, pause: { broadcaster } }) => {
    if (broadcaster === undefined) return;
    for (const session of sessionsOf(eventId, broadcaster.userId)) void session.renewTransmissions();
  });
  client.on("resumed", ({ eventId, pause }) => {
    if (pause?.broadcaster === undefined) return;
    for (const session of sessionsOf(eventId, pause.broadcaster.userId)) void session.verifyTransmissions();
  });
  // A waiting request is repeated every 2 s. These events show earlier that it has an outcome.
  client.on("floorGranted", ({ channelId, queueId }) => {
    for (const session of sessions) session.requestEnded(channelId, queueId);
  });
  client.on("floorDenied", ({ channelId, queueId }) => {
    for (const session of sessions) session.requestEnded(channelId, queueId);
  });
  client.on("paused", ({ eventId, pause: { reason } }) => {
    for (const session of sessionsOf(eventId)) session.allRequestsEnded(reason);
  });
  // A snapshot does not show floors that were lost before it.
  client.on("resynced", ({ eventId }) => {
    for (const session of sessionsOf(eventId)) void session.verifyTransmissions();
  });
}

function refuse(socket: Duplex, status: number, message: string): void {
  const body = `${message}\n`;
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    "Connection: close",
    "Content-Type: text/plain",
    `Content-Length: ${Buffer.byteLength(body)}`,
  ];
  socket.end(`${head.join("\r\n")}\r\n\r\n${body}`);
}

// Pings all clients. Closes the connection of a client that has not answered the previous ping.
function pingClients(sockets: WebSocketServer): () => void {
  const unanswered = new WeakSet<WebSocket>();
  return () => {
    for (const webSocket of sockets.clients) {
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

function parseSecrets(secrets: readonly string[]): Uint8Array[] {
  if (secrets.length === 0 || secrets.includes("")) {
    throw new SquelchError("invalidArgument", "jwtSecret: must not be empty");
  }
  return secrets.map((secret) => new TextEncoder().encode(secret));
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
