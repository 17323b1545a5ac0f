import type { Registry } from "prom-client";
import type { Engine } from "../../domain/ports/engine.js";
import type { IngestSource } from "../../engine/redis/engine.js";
import type { Logger } from "../../lib/logger.js";
import type { ServerConfig } from "../configOptions.js";
import { addIngestMetrics } from "../ops/ingestMetrics.js";
import { createCatchUp } from "./catchUp.js";
import { Ingest, type UpdateSource } from "./ingest.js";
import { PermissionSyncManager } from "./permissionSync.js";
import { Reconciler } from "./reconciler.js";
import { Watermark } from "./watermark.js";

/** Creates the parts that receive the control plane's updates and apply them. */
export function createIngest(
  engine: Engine,
  source: IngestSource,
  logLevel: ServerConfig["logLevel"],
  registry: Registry,
  logger: Logger,
) {
  const { controlPlane, subscriber } = source;
  const ingestLogger = logger.child({ component: "Ingest" });
  const requestReconcile = () => reconciler.request();
  const updateSource: UpdateSource = {
    reopen: () => subscriber.reconnect(),
    requestReconcile,
    isRefused: () => source.isRefused,
    readAssignedChannels: (userIds) => controlPlane.readAssignedChannels(userIds),
  };
  const ingest = new Ingest(engine, updateSource, ingestLogger);
  const reconciler: Reconciler = new Reconciler(engine, controlPlane, ingest, ingestLogger);
  const watermark = new Watermark(ingest, controlPlane, reconciler, ingestLogger);
  // A log line for each update would cost more than applying the update, so the service logs them only at "debug".
  const syncLogger = logger.child({ component: "PermissionSync" }, logLevel === "info" ? { level: "warn" } : {});
  const sync = new PermissionSyncManager(
    (userId, eventId, channelIds, action, position) => {
      const update = { userId, channelIds, action };
      if (position === undefined) ingest.acceptEarly(eventId, update);
      else ingest.accept(eventId, update, position);
    },
    { subscriber, observer: ingest, logger: syncLogger },
  );
  addIngestMetrics(registry, { ingest, sync, watermark, reconciler });
  source.onStateDoubtful(() => {
    ingest.retry();
    requestReconcile();
  });
  return {
    ingest,
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
