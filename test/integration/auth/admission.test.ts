import { randomUUID } from "node:crypto";
import { BlockList } from "node:net";
import type { DescMethod } from "@bufbuild/protobuf";
import { Registry } from "prom-client";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { createMemoryEngine } from "../../../src/engine/memory/engine.js";
import { createLogger } from "../../../src/lib/logger.js";
import { type Authenticator, createAuthenticator } from "../../../src/server/auth/authenticator.js";
import { CallerLimits } from "../../../src/server/auth/callerLimits.js";
import { parseConfig } from "../../../src/server/config.js";
import { services } from "../../../src/server/contract.js";
import { Hub } from "../../../src/server/feed/hub.js";
import { AuditTrail } from "../../../src/server/ops/auditTrail.js";
import { addCallMetrics } from "../../../src/server/ops/callMetrics.js";
import { createFeedCounts } from "../../../src/server/ops/feedMetrics.js";
import { createLimitRefusals } from "../../../src/server/ops/limitMetrics.js";
import { startGrpcServer } from "../../../src/server/rpc/grpc/grpcServer.js";
import { startHttpServer } from "../../../src/server/rpc/http/httpServer.js";
import { serveCalls } from "../../../src/server/rpc/serveCalls.js";
import { implementCalls } from "../../../src/server/rpc/services.js";
import { Shutdown } from "../../../src/server/rpc/shutdown.js";
import { bearer, connectBothServers } from "../../support/clients/callBothServers.js";
import { mintToken, TOKEN_SECRET } from "../../support/tokens.js";

const METHODS = services.flatMap(({ methods }): DescMethod[] => methods);

let servers: ReturnType<typeof connectBothServers>;
let identify: ReturnType<typeof vi.fn<Authenticator["identify"]>>;
let shutdown: Shutdown;
let close: () => Promise<void>;

/** The gRPC and the HTTP server of a replica in memory, with an authenticator that counts its calls. */
beforeEach(async () => {
  const config = parseConfig({ tokenSecret: TOKEN_SECRET, maxCallsPerS: "100000" }, {});
  const logger = createLogger("test", "silent");
  const authenticator = await createAuthenticator(config, logger);
  identify = vi.fn(authenticator.identify);
  const registry = new Registry();
  const engine = createMemoryEngine({ logger, auditLength: 100, limits: config });
  await engine.start();
  const hub = new Hub(engine, logger, createFeedCounts(registry));
  const trail = new AuditTrail(engine, logger);
  shutdown = new Shutdown();
  const counting = { ...authenticator, identify };
  const serving = serveCalls(implementCalls(hub, undefined, config), {
    authenticator: counting,
    limits: new CallerLimits(config, createLimitRefusals(registry)),
    recording: { trail, eventOf: (channelId) => engine.getChannelEvent(channelId), withTraffic: true },
    metrics: addCallMetrics(registry),
    tracing: undefined,
    shutdown,
    logger,
  });
  const connections = {
    ...{ max: 100, maxPerAddress: 100, unlimited: new BlockList(), onRefused: () => undefined },
    ...{ maxStreams: 100, mustIdentify: true },
  };
  const pages = { readiness: () => ({ ready: true }) as const, metrics: async () => "", console: undefined };
  const origins = { corsOrigins: [], onlyLoopbackNames: false };
  const http = await startHttpServer("127.0.0.1:0", connections, undefined, origins, pages, serving);
  const grpc = await startGrpcServer("127.0.0.1:0", connections, undefined, counting, serving);
  servers = connectBothServers({
    grpcAddress: grpc.address,
    httpAddress: http.address,
    close: async () => undefined,
  });
  close = async () => {
    servers.close();
    await Promise.all([grpc.close(1_000), http.close(1_000)]);
    authenticator.close();
    hub.close();
    await trail.close();
    await engine.close();
  };
});
afterEach(() => close());

const request = ({ methodKind }: DescMethod) =>
  methodKind === "server_streaming" ? { eventIds: [randomUUID()] } : { eventId: randomUUID() };

it.each(["grpc", "http"] as const)("the caller of each call is identified once: %s", async (server) => {
  const headers = bearer(await mintToken({ scope: "admin" }));
  for (const method of METHODS) {
    identify.mockClear();
    const { code } = await servers[server](method, request(method), headers);
    expect(code, method.name).not.toBe("UNAUTHENTICATED");
    expect(identify, method.name).toHaveBeenCalledTimes(1);
  }
});

it.each(["grpc", "http"] as const)("a refused caller was identified once: %s", async (server) => {
  for (const method of METHODS) {
    identify.mockClear();
    expect(await servers[server](method, request(method), {}), method.name).toMatchObject({ code: "UNAUTHENTICATED" });
    expect(identify, method.name).toHaveBeenCalledTimes(1);
  }
});

it.each(["grpc", "http"] as const)("a replica that shuts down refuses late calls: %s", async (server) => {
  const headers = bearer(await mintToken({ scope: "admin" }));
  shutdown.begin();
  for (const method of METHODS) {
    expect(await servers[server](method, request(method), headers), method.name).toEqual({
      code: "UNAVAILABLE",
      message: "the replica is shutting down; reconnect",
    });
  }
  expect(identify).not.toHaveBeenCalled();
});
