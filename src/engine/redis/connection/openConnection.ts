import { lookup } from "node:dns";
import { createConnection } from "node:net";
import { connect as connectTls } from "node:tls";
import { AbstractConnector, Cluster, Command, Redis, type RedisOptions, SentinelConnector } from "ioredis";
import { backoffMs } from "../../../lib/backoff.js";
import type { HostPort } from "../../../lib/hostPort.js";
import type { RedisTarget } from "../../../lib/redisUrl.js";
import { CorkedRedis } from "./corkedRedis.js";
import { errorReplyOf } from "./errorReplies.js";
import { examineBeforeReady, type ServerInfo } from "./examine.js";
import type { RetryDelay } from "./retryDelay.js";

/** A connection for commands. */
export type CommandConnection = Redis | Cluster;

/** The settings of one connection. */
export interface ConnectionPlan {
  /** The name that Redis shows in CLIENT LIST. */
  name: string;
  retryDelay: RetryDelay;
  /** True if it leads to a Redis to which the control plane publishes and which does not hold the state. */
  isIngest: boolean;
  /** Called before a connection to a single or Sentinel server becomes ready. */
  onExamined(info: ServerInfo): void;
  /** Called when a single or Sentinel server answers that it accepts no writes. */
  onReadOnly(): void;
}

// The option is set without its type, because the compiler does not know that type.
type Options = Omit<RedisOptions, "replyMapping">;

/** The longest time that the store may take for one command before the caller receives UNAVAILABLE. */
const COMMAND_TIMEOUT_MS = 2_000;
const CONNECT_TIMEOUT_MS = 5_000;
/** The longest time that a sentinel may take to name the master, so that a hung sentinel delays nothing for long. */
const SENTINEL_TIMEOUT_MS = 1_000;
/** The interval at which Cluster nodes are asked for their slots. A hung master cannot report that it was replaced. */
const SLOTS_REFRESH_MS = 2_000;
/** The most redirections of a Cluster that one command follows. */
const MAX_REDIRECTIONS = 5;
/** The longest time that a connection may take to close. A server that hangs never closes it. */
const DISCONNECT_TIMEOUT_MS = 100;

/**
 * Creates a connection for commands that opens when it is started. A command fails at once while the connection is
 * down. No command is sent twice, because the outcome of the first attempt may be unknown.
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
    // A certificate contains the host name, not the address that it resolves to.
    dnsLookup: target.tls ? (host, callback) => callback(null, host) : lookup,
  });
}

/**
 * Creates a connection for subscriptions that opens when it is started.
 *
 * @param cluster the command connection of a Cluster, which knows the nodes. The subscriptions use one node, because
 * each node receives every published message; after an interruption they use another node. (ioredis's own Cluster
 * subscriber changes nodes without an event, so messages published meanwhile would be lost unnoticed.)
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
 * Returns the connection to the one server that currently serves a key. Undefined while a Cluster does not know the
 * server. Commands that concern a connection, such as WAIT, must use this connection.
 */
export function serverOf(connection: CommandConnection, key: string): Redis | undefined {
  if (connection instanceof Redis) return connection;
  const address = connection.slots[new Command("get", [key]).getSlot() as number]?.[0];
  return connection.nodes("master").find(({ options: { host, port } }) => `${host}:${port}` === address);
}

/** Returns true if a command for a key can be sent now, without waiting for a lost connection. */
export function isStanding(connection: CommandConnection, key: string): boolean {
  const server = connection.status === "ready" ? serverOf(connection, key) : undefined;
  // ioredis connects to a Cluster node when it sends the first command to it.
  if (server?.status === "wait") return true;
  return server?.status === "ready" && server.stream.writable;
}

/** Lists the servers that accept writes, as far as they are known. */
export function masters(connection: CommandConnection): Redis[] {
  return connection instanceof Redis ? [connection] : connection.nodes("master");
}

// While no node is known, ioredis would keep commands in an unbounded queue. While one is known, its connection
// accepts them, and each waits for at most 2 s.
class FailFastCluster extends Cluster {
  override sendCommand(...[command, ...rest]: Parameters<Cluster["sendCommand"]>): unknown {
    const isAllowed = this.status === "ready" || command.name === "cluster";
    if (isAllowed) return super.sendCommand(command, ...rest);
    command.reject(new Error("the Redis Cluster is not connected"));
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

// Node resolves the host name again for each attempt.
function openServer(target: ServerTarget, plan: ConnectionPlan): Redis {
  const common: Options = {
    ...commonOptions(target, plan),
    // A server that rejects the connection answers so to the first command. That answer must reach the caller.
    disableClientInfo: true,
    reconnectOnError(error) {
      if (errorReplyOf(error)?.code === "READONLY") plan.onReadOnly();
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
  // On these connections sentinels report fail-overs. ioredis writes their failures to stderr and emits no event for
  // them.
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
    // Without this option the connections to a hung master would remain after the master was replaced.
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
