import { lookup } from "node:dns";
import { createConnection } from "node:net";
import { connect as connectTls } from "node:tls";
import { AbstractConnector, Cluster, Command, Redis, type RedisOptions, SentinelConnector } from "ioredis";
import { backoffMs } from "../../../lib/backoff.js";
import type { HostPort } from "../../../lib/hostPort.js";
import type { RedisTarget } from "../../../lib/redisUrl.js";
import { CorkedRedis } from "./corkedRedis.js";
import { examineBeforeReady, type ServerInfo } from "./examine.js";
import type { RetryDelay } from "./retryDelay.js";
import { isReadOnlyReply } from "./unfitServer.js";

/** A connection for commands. */
export type CommandConnection = Redis | Cluster;

/** One connection, as its owner wants it. */
export interface ConnectionPlan {
  /** Redis shows it in CLIENT LIST. */
  name: string;
  retryDelay: RetryDelay;
  /** Whether it leads to the Redis to which the control plane publishes, apart from the state. */
  isIngest: boolean;
  /** Called before a connection to one server, by name or by Sentinel, becomes ready. */
  onExamined(info: ServerInfo): void;
  /** Called when such a server answers that it takes no writes. */
  onReadOnly(): void;
}

// Its type would have to be known to the compiler.
type Options = Omit<RedisOptions, "replyMapping">;

/** How long the store may take for one command before the caller is told UNAVAILABLE. */
const COMMAND_TIMEOUT_MS = 2_000;
const CONNECT_TIMEOUT_MS = 5_000;
/** How long a sentinel may take to name the master, so that a hung one holds nobody up for long. */
const SENTINEL_TIMEOUT_MS = 1_000;
/** How often the nodes of a Cluster are asked who serves what: a master that hangs cannot say that it was replaced. */
const SLOTS_REFRESH_MS = 2_000;
/** How often one command follows a Cluster's redirections. */
const MAX_REDIRECTIONS = 5;
/** How long a connection that was given up may take to say goodbye; a server that hangs never does. */
const DISCONNECT_TIMEOUT_MS = 100;

/**
 * Opens a connection for commands, once it is told to. A command fails at once while there is no connection, and is
 * never sent twice: its outcome may be unknown.
 */
export function openCommands(target: RedisTarget, plan: ConnectionPlan): CommandConnection {
  if (target.topology !== "cluster") return openServer(target, plan);
  const options = { ...commonOptions(target, plan), connectionName: plan.name };
  return new FailFastCluster(target.nodes, {
    lazyConnect: true,
    clusterRetryStrategy: () => plan.retryDelay.nextMs(),
    slotsRefreshInterval: SLOTS_REFRESH_MS,
    retryDelayOnFailover: 0,
    retryDelayOnClusterDown: 0,
    maxRedirections: MAX_REDIRECTIONS,
    redisOptions: options,
    // A certificate names the host, not what it resolves to.
    dnsLookup: target.tls ? (host, callback) => callback(null, host) : lookup,
  });
}

/**
 * Opens a connection for subscriptions, once it is told to.
 *
 * @param cluster of a Cluster, the connection that knows its nodes: the subscriptions go to one of them, as every node
 *   hears what is published on any; after an interruption to another one. (ioredis's own subscriber of a Cluster goes to
 *   another node without a word, so that what is published meanwhile would be missed in silence.)
 */
export function openSubscriptions(target: RedisTarget, plan: ConnectionPlan, cluster: CommandConnection): Redis {
  if (target.topology !== "cluster") return openServer(target, plan);
  const options = { ...commonOptions(target, plan), connectionName: plan.name };
  const { tls, nodes: seeds } = target;
  let last: HostPort | undefined;
  const pickNode = (): HostPort => {
    const known =
      cluster instanceof Cluster ? cluster.nodes().map(({ options: { host, port } }) => ({ host, port })) : [];
    const nodes = [...(known.length > 0 ? (known as HostPort[]) : seeds)];
    const others = nodes.filter(({ host, port }) => host !== last?.host || port !== last.port);
    const candidates = others.length > 0 ? others : nodes;
    last = candidates[Math.floor(Math.random() * candidates.length)] as HostPort;
    return last;
  };
  class NodeConnector extends AbstractConnector {
    constructor() {
      super(DISCONNECT_TIMEOUT_MS);
    }

    async connect() {
      const { host, port } = pickNode();
      this.connecting = true;
      this.stream = tls ? connectTls({ host, port }) : createConnection({ host, port });
      this.stream.once("error", (error) => {
        this.firstError = error;
      });
      return this.stream;
    }
  }
  return new Redis({ ...options, Connector: NodeConnector });
}

/**
 * The connection to the one server that a key's commands go to now; undefined while a Cluster does not know it. What is
 * said of a connection, as by WAIT, has to go there.
 */
export function serverOf(connection: CommandConnection, key: string): Redis | undefined {
  if (connection instanceof Redis) return connection;
  const address = connection.slots[new Command("get", [key]).getSlot() as number]?.[0];
  return connection.nodes("master").find(({ options: { host, port } }) => `${host}:${port}` === address);
}

/** True if a command about a key can be written now, without waiting for a connection that was lost. */
export function isStanding(connection: CommandConnection, key: string): boolean {
  const server = connection.status === "ready" ? serverOf(connection, key) : undefined;
  // ioredis opens the connection to a node of a Cluster with the first command for it.
  if (server?.status === "wait") return true;
  return server?.status === "ready" && server.stream.writable;
}

/** The servers that take writes, as far as they are known. */
export function masters(connection: CommandConnection): Redis[] {
  return connection instanceof Redis ? [connection] : connection.nodes("master");
}

// ioredis would keep commands in a queue without bound while no node is known. While one is known, its own connection
// takes them, and lets each wait for 2 s at most.
class FailFastCluster extends Cluster {
  override sendCommand(...[command, ...rest]: Parameters<Cluster["sendCommand"]>): unknown {
    const isAllowed = this.status === "ready" || command.name === "cluster";
    if (isAllowed) return super.sendCommand(command, ...rest);
    command.reject(new Error("The Cluster is not connected"));
    return command.promise;
  }
}

function commonOptions({ tls, username, password }: RedisTarget, { retryDelay }: ConnectionPlan): Options {
  const options: Options = {
    lazyConnect: true,
    connectTimeout: CONNECT_TIMEOUT_MS,
    disconnectTimeout: DISCONNECT_TIMEOUT_MS,
    keepAlive: 5_000,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    maxRetriesPerRequest: 0,
    commandTimeout: COMMAND_TIMEOUT_MS,
    retryStrategy: () => retryDelay.nextMs(),
  };
  if (username !== undefined) options.username = username;
  if (password !== undefined) options.password = password;
  if (tls) options.tls = {};
  return options;
}

type ServerTarget = Exclude<RedisTarget, { topology: "cluster" }>;

// Node resolves the name of a server anew for each attempt.
function openServer(target: ServerTarget, plan: ConnectionPlan): Redis {
  const common: Options = {
    ...commonOptions(target, plan),
    // The first command of a connection gets the answer of a server that turns it away, and has to pass that on.
    disableClientInfo: true,
    reconnectOnError(error) {
      if (isReadOnlyReply(error)) plan.onReadOnly();
      return false;
    },
  };
  const connection =
    target.topology === "standalone" ? new CorkedRedis({ ...common, ...target.address }) : openMaster(target, common);
  examineBeforeReady(connection, {
    target,
    connectionName: plan.name,
    isIngest: plan.isIngest,
    onExamined: (info) => plan.onExamined(info),
    onLoading: () => connection.emit("error", new Error("LOADING Redis is loading its data")),
  });
  return connection;
}

function openMaster(target: Extract<RedisTarget, { topology: "sentinel" }>, common: Options): Redis {
  const { sentinels, masterName, tls, sentinelUsername, sentinelPassword } = target;
  // The connections on which sentinels tell of a fail-over: of their failures ioredis lets nobody know, and writes them
  // to stderr.
  class TellingConnector extends SentinelConnector {
    constructor(options: ConstructorParameters<typeof SentinelConnector>[0]) {
      super(options);
      const connector = this as unknown as { connectToSentinel(...args: unknown[]): Redis };
      const connectToSentinel = connector.connectToSentinel.bind(this);
      connector.connectToSentinel = (...args) =>
        connectToSentinel(...args).on("error", (error: Error) => connection.emit("sentinelError", error));
    }
  }
  const options: Options = {
    ...common,
    Connector: TellingConnector as unknown as NonNullable<Options["Connector"]>,
    sentinels,
    name: masterName,
    // Without it a master that hangs would keep its connections after it was replaced.
    failoverDetector: true,
    sentinelCommandTimeout: SENTINEL_TIMEOUT_MS,
    sentinelRetryStrategy: () => backoffMs(1),
    sentinelReconnectStrategy: (attempt) => backoffMs(attempt),
    enableTLSForSentinelMode: tls,
  };
  if (tls) options.sentinelTLS = {};
  if (sentinelUsername !== undefined) options.sentinelUsername = sentinelUsername;
  if (sentinelPassword !== undefined) options.sentinelPassword = sentinelPassword;
  const connection = new CorkedRedis(options);
  return connection;
}
