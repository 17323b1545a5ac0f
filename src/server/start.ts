import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Registry } from "prom-client";
import type { Engine } from "../domain/ports.js";
import { createMemoryEngine } from "../engine/memory/engine.js";
import { createRedisEngine, type IngestSource } from "../engine/redis/engine.js";
import { createLogger, type Logger } from "../lib/logger.js";
import { PACKAGE_FOLDER } from "../lib/ownPackage.js";
import { createAuthenticator } from "./auth/authenticator.js";
import { CallerLimits } from "./auth/callerLimits.js";
import { isAuthenticated } from "./config.js";
import type { ServerConfig } from "./configOptions.js";
import { Hub } from "./feed/hub.js";
import { ReplicaPresence } from "./keepers/replicaPresence.js";
import { addAuditMetrics } from "./ops/auditMetrics.js";
import { AuditTrail } from "./ops/auditTrail.js";
import { addCallMetrics } from "./ops/callMetrics.js";
import { addFeedMetrics, createFeedCounts } from "./ops/feedMetrics.js";
import { countFloor } from "./ops/floorMetrics.js";
import { addIngestMetrics } from "./ops/ingestMetrics.js";
import { countOverLimit, createLimitRefusals, type LimitRefusals } from "./ops/limitMetrics.js";
import { exposeMetrics } from "./ops/metrics.js";
import { addEpochMetrics, addRedisMetrics, addScriptMetrics } from "./ops/redisMetrics.js";
import { startGrpcServer } from "./rpc/grpc/grpcServer.js";
import { type Readiness, startHttpServer } from "./rpc/http/httpServer.js";
import { createStaticFiles } from "./rpc/http/staticFiles.js";
import { admission } from "./rpc/interceptors/identify.js";
import { implementCalls, serveCalls } from "./rpc/services.js";
import type { Serving } from "./rpc/serving.js";
import { openTlsFiles } from "./rpc/tlsFiles.js";
import { type CatchUp, createCatchUp } from "./state/catchUp.js";
import { Ingest } from "./state/ingest.js";
import { PermissionSyncManager } from "./state/permissionSync.js";
import { Reconciler } from "./state/reconciler.js";
import { Watermark } from "./state/watermark.js";

/** How long a start waits for the store; it goes on without. */
const START_PATIENCE_MS = 3_000;
/** How often health checks learn of the feed's health. */
const HEALTH_INTERVAL_MS = 500;

/** Where the build puts the web console. */
const CONSOLE_FOLDER = join(PACKAGE_FOLDER, "dist", "console");

/** A running replica. */
export interface Replica {
  grpcAddress: string;
  httpAddress: string;
  /** Drains and stops: health checks answer NOT_SERVING, streams end with UNAVAILABLE. Idempotent. */
  close(): Promise<void>;
}

/** For tests alone: what a replica is put together from can be replaced here, for example by something with a defect. */
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
 * Starts a replica. A Redis that cannot be reached is no reason to fail: calls answer UNAVAILABLE until it is there.
 * Rejects if an address cannot be bound.
 */
export async function start(config: ServerConfig, seams: Seams = {}): Promise<Replica> {
  const logger = createLogger("squelch", config.logLevel);
  const tls = openTlsFiles(config, logger);
  const authenticator = await createAuthenticator(config, logger.child({ component: "Auth" }));
  const registry = new Registry();
  const refused = createLimitRefusals(registry);
  const source =
    config.redisUrl === undefined
      ? createMemorySource(config, refused, logger)
      : createRedisSource(config, registry, refused, logger, seams);
  const engine = countFloor(registry, source.engine);
  // What only few need is not loaded by everybody.
  const tracing = config.otlpEndpoint ? new (await import("./ops/tracing.js")).Tracing(config.otlpEndpoint) : undefined;
  const trail = new AuditTrail(engine, logger.child({ component: "Audit" }));
  addAuditMetrics(registry, trail);
  const hub = new Hub(engine, logger.child({ component: "Feed" }), createFeedCounts(registry));
  addFeedMetrics(registry, hub);
  let isDraining = false;

  const readiness = (): Readiness => {
    if (isDraining) return { ready: false, reason: "the replica is shutting down" };
    if (!engine.feedHealth().healthy)
      return { ready: false, reason: "changes from the store are not proven to arrive" };
    return { ready: true };
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
    logger.warn("the membership check is off: users may speak on channels that are not theirs");
  }
  await source.start();
  try {
    const recording = {
      trail,
      eventOf: (channelId: string) => engine.getChannelEvent(channelId),
      withTraffic: config.auditFloor,
    };
    const callerLimits = new CallerLimits(config, refused);
    const metrics = addCallMetrics(registry);
    const serving: Serving = {
      calls: serveCalls(implementCalls(hub, source.catchUp, config), authenticator, callerLimits, recording, tracing),
      endings: new Set(),
      admit: admission(authenticator, recording, metrics),
      metrics,
      logger,
    };
    // Whoever has to show a token is no prey of a web page that another opens.
    const onlyLoopbackNames = !config.insecure && !isAuthenticated(config);
    if (isAuthenticated(config) && tls === undefined) {
      logger.warn("tokens are taken without TLS: whoever listens on the network can use them");
    }
    const origins = { corsOrigins: config.corsOrigins, onlyLoopbackNames };
    const pages = { readiness, metrics: () => exposeMetrics(registry), console: createStaticFiles(CONSOLE_FOLDER) };
    const connections = { max: config.maxConnections, onRefused: () => void refused.connections++ };
    const http = await startHttpServer(config.httpAddress, connections, tls, origins, pages, serving);
    const grpc = await startGrpcServer(config.grpcAddress, connections, tls, authenticator, serving).catch(
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
      isDraining = true;
      clearInterval(healthTimer);
      setServing();
      const deadlineMs = performance.now() + config.drainTimeoutMs;
      const left = presence.close();
      http.drain();
      await grpc.drain(config.drainTimeoutMs);
      await http.close(Math.max(deadlineMs - performance.now(), 0));
      await left;
      await releaseAll();
      logger.info("stopped");
    };
    let drained: Promise<void> | undefined;
    // Whatever the level, since programs wait for this line; "silent" means silent.
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
    throw error;
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
    if (!engine.feedHealth().healthy) logger.warn("the store cannot be reached yet, serving without");
  };
  if (redisEngine.ingest === undefined) {
    logger.warn("a Cluster has no order of publication: without --ingest-redis-url assignments are taken by RPC only");
    return { engine, start, close: () => engine.close() };
  }
  const { catchUp, startIngest, stopIngest } = createIngest(
    engine,
    redisEngine.ingest,
    config.logLevel,
    registry,
    logger,
  );
  return {
    engine,
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

/** What takes the control plane's updates in. */
function createIngest(
  engine: Engine,
  source: IngestSource,
  logLevel: ServerConfig["logLevel"],
  registry: Registry,
  logger: Logger,
) {
  const { controlPlane, subscriber } = source;
  const ingestLogger = logger.child({ component: "Ingest" });
  const ingest = new Ingest(engine, () => subscriber.reconnect(), ingestLogger);
  const reconciler = new Reconciler(engine, controlPlane, ingest, ingestLogger);
  const watermark = new Watermark(ingest, controlPlane, reconciler, ingestLogger);
  // A line for each update would cost more than applying it: the service says them at "debug" only.
  const syncLogger = logger.child({ component: "PermissionSync" }, logLevel === "info" ? { level: "warn" } : {});
  const sync = new PermissionSyncManager(
    (userId, eventId, channelIds, action, position) => {
      // Before the first ticket of a connection a message has no place in the order.
      if (position === undefined) {
        ingest.counts.unplaced++;
        logger.warn({ eventId, userId }, "update ignored: it came before the first ticket");
      } else ingest.accept(eventId, { userId, channelIds, action }, position);
    },
    { subscriber, observer: ingest, logger: syncLogger },
  );
  addIngestMetrics(registry, { ingest, sync, watermark, reconciler });
  source.onStateDoubtful(() => reconciler.request());
  return {
    catchUp: createCatchUp(engine, watermark, reconciler),
    async startIngest() {
      await sync.start();
      watermark.start();
    },
    async stopIngest() {
      watermark.stop();
      reconciler.stop();
      await sync.stop();
      ingest.stop();
    },
  };
}
