import { createRedisEngine, type RedisEngineOptions } from "../../src/engine/redis/engine.js";
import { createLogger } from "../../src/lib/logger.js";
import { applyRights, denials, type Rights, withUser } from "../support/redis/aclLines.js";
import { startCluster } from "../support/redis/startCluster.js";
import { type RedisServer, startRedis } from "../support/redis/startRedis.js";
import { stopAll } from "../support/stopAll.js";
import { waitFor } from "../support/waitFor.js";
import { describeEngineContract } from "./engineContract.js";

type Options = Omit<RedisEngineOptions, "logger">;

interface Stage {
  servers: readonly (readonly [server: RedisServer, rights: Rights])[];
  options: Options;
  stop(): Promise<void>;
}

// The rights suffice for everything: Redis has logged a denied command even if the suite did not notice it.
const setUp = (start: () => Promise<Stage>) => async () => {
  const { servers, options, stop } = await start();
  for (const [server, rights] of servers) await applyRights(server, rights);
  const engine = createRedisEngine({ ...options, logger: createLogger("test", "silent") });
  await engine.start();
  await waitFor(() => engine.feedHealth().healthy, { message: "a healthy feed" });
  return {
    engine,
    async teardown() {
      const denied = (await Promise.all(servers.map(([server]) => denials(server)))).flat();
      await engine.close();
      await stop();
      if (denied.length > 0) throw new Error(`Redis has denied:\n${denied.join("\n")}`);
    },
  };
};

describeEngineContract(
  "redis, with the rights of docs/operations.md,",
  setUp(async () => {
    const redis = await startRedis();
    return {
      servers: [[redis, "acl"]],
      options: { url: withUser(redis.url, "squelch") },
      stop: () => redis.stop(),
    };
  }),
);

describeEngineContract(
  "redis, on a Cluster with an ingest of its own, with the rights of docs/operations.md,",
  setUp(async () => {
    const [cluster, ingest] = await Promise.all([startCluster({ replicas: 0 }), startRedis()]);
    return {
      servers: [...cluster.nodes.map((node) => [node, "acl-cluster"] as const), [ingest, "acl-ingest"] as const],
      options: {
        url: withUser(cluster.url, "squelch"),
        ingestUrl: withUser(ingest.url, "ingest"),
        layout: "cluster",
      },
      stop: () => stopAll([cluster, ingest]),
    };
  }),
);
