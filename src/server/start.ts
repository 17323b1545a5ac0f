import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Registry } from "prom-client";
import type { Engine, FeedHealth } from "../domain/ports/engine.js";
import { createMemoryEngine } from "../engine/memory/engine.js";
import { createRedisEngine } from "../engine/redis/engine.js";
import { createLogger, type Logger } from "../lib/logger.js";
import { PACKAGE_FOLDER } from "../lib/ownPackage.js";
import { createAuthenticator } from "./auth/authenticator.js";
import { CallerLimits } from "./auth/callerLimits.js";
import { isAuthenticated, namedByFlag } from "./config.js";
import type { ServerConfig } from "./configOptions.js";
import { Hub } from "./feed/hub.js";
import { ReplicaPresence } from "./keepers/replicaPresence.js";
import { addAuditMetrics } from "./ops/auditMetrics.js";
import { AuditTrail } from "./ops/auditTrail.js";
import { addCallMetrics } from "./ops/callMetrics.js";
import { addFeedMetrics, createFeedCounts } from "./ops/feedMetrics.js";
import { countFloor } from "./ops/floorMetrics.js";
import { countOverLimit, createLimitRefusals, type LimitRefusals } from "./ops/limitMetrics.js";
import { exposeMetrics } from "./ops/metrics.js";
import { addEpochMetrics, addRedisMetrics, addScriptMetrics } from "./ops/redisMetrics.js";
import type { ConnectionRules } from "./rpc/connectionLimit.js";
import { startGrpcServer } from "./rpc/grpc/grpcServer.js";
import { type Readiness, startHttpServer } from "./rpc/http/httpServer.js";
import { createStaticFiles } from "./rpc/http/staticFiles.js";
import { serveCalls } from "./rpc/serveCalls.js";
import { implementCalls } from "./rpc/services.js";
import { Shutdown } from "./rpc/shutdown.js";
import { openTlsFiles } from "./rpc/tlsFiles.js";
import type { CatchUp } from "./state/catchUp.js";
import { createIngest } from "./state/createIngest.js";
import type { Ingest } from "./state/ingest.js";

/** How long a start waits for the store, ms. After that the replica serves without the store. */
const START_PATIENCE_MS = 3_000;
/** The interval at which the health service is updated, ms. */
const HEALTH_INTERVAL_MS = 500;
/** The least number of calls that one connection may have open, because a proxy sends the calls of many callers over one connection. */
const MIN_STREAMS_PER_CONNECTION = 1_000;

/** The folder of the built web console. */
const CONSOLE_FOLDER = join(PACKAGE_FOLDER, "dist", "console");

/** A running replica. */
export interface Replica {
  grpcAddress: string;
  httpAddress: string;
  /** Drains and stops: health checks answer NOT_SERVING, streams end with UNAVAILABLE. Idempotent. */
  close(): Promise<void>;
}

/** For tests only: replaces parts of a replica, for example with a part that has a defect. */
export interface Seams {
  decorateEngine?: (engine: Engine) => Engine;
}

interface Source {
  engine: Engine;
  catchUp?: CatchUp;
  start(): Promise<void>;
  close(): Promise<void>;
}

/**
 * Starts a replica. While Redis cannot be reached the replica runs, and calls answer UNAVAILABLE. Rejects if an address
 * cannot be bound, and with `invalidArgument` if Redis is reached and does not match its URL.
 */
export async function start(config: ServerConfig, seams: Seams = {}): Promise<Replica> {
  const logger = createLogger("squelch", config.logLevel);
  const tls = openTlsFiles(config, logger);
  const authenticator = await createAuthenticator(config, logger.child({ component: "Auth" })).catch((error) => {
    tls?.close();
    throw error;
  });
  const registry = new Registry();
  const refused = createLimitRefusals(registry);
  const source =
    config.redisUrl === undefined
      ? createMemorySource(config, refused, logger)
      : createRedisSource(config, registry, refused, logger, seams);
  const engine = countFloor(registry, source.engine);
  // Few replicas trace calls, so the tracing library is loaded only when it is needed.
  const tracing = config.otlpEndpoint ? new (await import("./ops/tracing.js")).Tracing(config.otlpEndpoint) : undefined;
  const trail = new AuditTrail(engine, logger.child({ component: "Audit" }));
  addAuditMetrics(registry, trail);
  const hub = new Hub(engine, logger.child({ component: "Feed" }), createFeedCounts(registry));
  addFeedMetrics(registry, hub);
  const shutdown = new Shutdown();

  const readiness = (): Readiness => {
    if (shutdown.hasBegun) return { ready: false, reason: "the replica is shutting down" };
    const { healthy, problem = "changes from the store are not proven to arrive" } = engine.feedHealth();
    return healthy ? { ready: true } : { ready: false, reason: problem };
  };

  const releaseAll = async () => {
    tls?.close();
    authenticator.close();
    hub.close();
    await trail.close();
    await tracing?.close();
    await source.close();
  };

  if (!config.membershipCheck) {
    logger.warn("the membership check is off: users may speak on channels that are not assigned to them");
  }
  try {
    await source.start();
    const recording = {
      trail,
      eventOf: (channelId: string) => engine.getChannelEvent(channelId),
      withTraffic: config.auditFloor,
    };
    const limits = new CallerLimits(config, refused);
    const metrics = addCallMetrics(registry);
    const implemented = implementCalls(hub, source.catchUp, config);
    const serving = serveCalls(implemented, { authenticator, limits, recording, metrics, tracing, shutdown, logger });
    // A server that requires a token needs no check against DNS rebinding: a hostile page has no token.
    const onlyLoopbackNames = !config.insecure && !isAuthenticated(config);
    if (isAuthenticated(config) && tls === undefined) {
      logger.warn("tokens are accepted without TLS: anyone who can read the network traffic can use them");
    }
    const origins = { corsOrigins: config.corsOrigins, onlyLoopbackNames };
    const pages = { readiness, metrics: () => exposeMetrics(registry), console: createStaticFiles(CONSOLE_FOLDER) };
    const connections: ConnectionRules = {
      max: config.maxConnections,
      maxPerAddress: config.maxConnectionsPerAddress,
      unlimited: config.proxies,
      onRefused: (limit) => void refused[limit]++,
    };
    const grpcConnections = {
      ...connections,
      maxStreams: Math.max(config.maxStreams, MIN_STREAMS_PER_CONNECTION),
      mustIdentify: isAuthenticated(config),
    };
    const http = await startHttpServer(config.httpAddress, connections, tls, origins, pages, serving);
    const grpc = await startGrpcServer(config.grpcAddress, grpcConnections, tls, authenticator, serving).catch(
      async (error: unknown) => {
        await http.close(0);
        throw error;
      },
    );
    const setServing = () => grpc.setServing(readiness().ready);
    const addresses = { grpcAddress: grpc.address, httpAddress: http.address };
    const presence = new ReplicaPresence(hub, addresses, logger);
    const healthTimer = setInterval(setServing, HEALTH_INTERVAL_MS);
    setServing();

    const drain = async () => {
      shutdown.begin();
      clearInterval(healthTimer);
      setServing();
      const deadlineMs = performance.now() + config.drainTimeoutMs;
      const left = presence.close();
      // Clients must know that this replica is leaving before their streams end, so that they do not come back to it.
      const grpcClosed = grpc.close(config.drainTimeoutMs);
      await shutdown.endStreams(config.drainTimeoutMs, logger);
      await grpcClosed;
      await http.close(Math.max(deadlineMs - performance.now(), 0));
      await left;
      await releaseAll();
      logger.info("stopped");
    };
    let drained: Promise<void> | undefined;
    // Programs wait for this line, so it is written at every level except "silent".
    const announcer = config.logLevel === "silent" ? logger : logger.child({}, { level: "info" });
    announcer.info({ ...addresses, engine: config.redisUrl === undefined ? "memory" : "redis" }, "serving");
    return {
      ...addresses,
      close() {
        drained ??= drain();
        return drained;
      },
    };
  } catch (error) {
    await releaseAll();
    throw namedByFlag(error);
  }
}

function createMemorySource(config: ServerConfig, refused: LimitRefusals, logger: Logger): Source {
  const engine = countOverLimit(
    createMemoryEngine({ logger, auditLength: config.auditLength, limits: config }),
    refused,
  );
  return { engine, start: () => engine.start(), close: () => engine.close() };
}

function createRedisSource(
  config: ServerConfig,
  registry: Registry,
  refused: LimitRefusals,
  logger: Logger,
  { decorateEngine = (engine) => engine }: Seams,
): Source {
  const { redisUrl, ingestRedisUrl, redisLayout, legacyRouters, auditLength } = config;
  const { maxUsersPerEvent, maxChannelsPerUser, logLength } = config;
  const redisEngine = createRedisEngine({
    url: redisUrl as string,
    ingestUrl: ingestRedisUrl,
    layout: redisLayout,
    legacyRouters,
    auditLength,
    limits: { maxUsersPerEvent, maxChannelsPerUser, logLength },
    observeScript: addScriptMetrics(registry),
    observeNewEpoch: addEpochMetrics(registry),
    logger: logger.child({ component: "Redis" }),
  });
  addRedisMetrics(registry, redisEngine);
  const engine = countOverLimit(decorateEngine(redisEngine), refused);
  const start = async () => {
    await engine.start();
    const patience = AbortSignal.timeout(START_PATIENCE_MS);
    while (!engine.feedHealth().healthy && !patience.aborted) await sleep(10);
    if (!engine.feedHealth().healthy) logger.warn("the store cannot be reached yet, serving without it");
  };
  if (redisEngine.ingest === undefined) {
    logger.warn(
      "channels are assigned by RPC only, because a Cluster does not keep the order of messages; set --ingest-redis-url",
    );
    return { engine, start, close: () => engine.close() };
  }
  const { ingest, catchUp, startIngest, stopIngest } = createIngest(
    engine,
    redisEngine.ingest,
    config.logLevel,
    registry,
    logger,
  );
  return {
    engine: { ...engine, feedHealth: () => withIngest(engine.feedHealth(), ingest) },
    catchUp,
    async start() {
      await startIngest();
      await start();
    },
    async close() {
      await stopIngest();
      await engine.close();
    },
  };
}

/** Returns the health of the feed. The feed is also unhealthy while updates of the control plane cannot be applied. */
function withIngest(health: FeedHealth, ingest: Ingest): FeedHealth {
  const problem = ingest.problem();
  return problem === undefined ? health : { ...health, healthy: false, problem: health.problem ?? problem };
}
